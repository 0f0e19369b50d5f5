"""What clients get through Ray is what they get from one server."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
from caravan.ray_serve.board import PULSE_SECONDS

from tests.ray.conftest import MODEL, Deploy
from tests.waiting import PATIENCE, wait_until

SAY = [{"role": "user", "content": "Tell me of caravans, please."}]
CASES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "seeded": {"temperature": 1.0, "seed": 5, "top_p": 0.9},
    "choices": {"temperature": 1.0, "seed": 6, "n": 3},
    "mirostat and penalties": {"seed": 7, "mirostat": 2, "repeat_penalty": 1.3},
    "log probabilities": {"temperature": 0, "logprobs": True, "top_logprobs": 3},
    "a grammar": {"seed": 8, "grammar": 'root ::= "(" [a-z]+ ")"'},
    "a stop string": {"seed": 9, "stop": ["e"]},
}


def asked(address: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    body = {"model": MODEL, "messages": SAY, "max_tokens": 48, **fields}
    answer = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def streamed(client: httpx.AsyncClient, address: str, **fields: Any) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    """The text of a stream and its usage."""
    body = {"model": MODEL, "messages": SAY, "max_tokens": 48, "stream": True, **fields}
    body["stream_options"] = {"include_usage": True}
    usage: dict[str, Any] = {}
    text, is_done = "", False
    async with client.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line == "data: [DONE]":
                is_done = True
            elif line.startswith("data: "):
                chunk = json.loads(line[6:])
                assert "error" not in chunk, chunk
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    text += choice["delta"].get("content") or ""
    assert is_done
    return text, usage


@pytest.fixture
def on_ray(deploy: Deploy) -> str:
    return deploy(min_replicas=3).address


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_same(on_ray: str, alone: str, name: str) -> None:
    through, direct = asked(on_ray, **CASES[name]), asked(alone, **CASES[name])
    assert through["choices"] == direct["choices"]
    assert through["usage"]["total_tokens"] == direct["usage"]["total_tokens"]


def test_streams_at_once_are_the_same(on_ray: str, alone: str) -> None:
    async def at(address: str) -> list[tuple[str, dict[str, Any]]]:
        async with httpx.AsyncClient(timeout=60) as client:
            wanted = [{"temperature": seed % 2, "seed": seed} for seed in range(12)]
            return await asyncio.gather(*(streamed(client, address, **fields) for fields in wanted))

    through, direct = asyncio.run(at(on_ray)), asyncio.run(at(alone))
    assert [text for text, _ in through] == [text for text, _ in direct]
    assert [usage["completion_tokens"] for _, usage in through] == [
        usage["completion_tokens"] for _, usage in direct
    ]


def test_all_that_one_request_asks_for_is_answered(on_ray: str, alone: str) -> None:
    """Each prompt is a call of its own."""
    prompts = [f"Tell me of caravan {number}." for number in range(8)]
    body = {"model": MODEL, "prompt": prompts, "temperature": 0, "max_tokens": 8}
    through, direct = (
        httpx.post(f"{address}/v1/completions", json=body, timeout=PATIENCE).json()["choices"]
        for address in (on_ray, alone)
    )
    assert through == direct


def test_who_leaves_frees_the_engine(deploy: Deploy) -> None:
    cluster = deploy(min_replicas=3)
    body = {"model": MODEL, "messages": SAY, "stream": True, "max_tokens": 1900, "ignore_eos": True}
    answers = [httpx.Client(timeout=60) for _ in range(3)]
    for client in answers:
        with client.stream("POST", f"{cluster.address}/v1/chat/completions", json=body) as answer:
            next(answer.iter_lines())
    wait_until(lambda: sum(load.num_running + load.waiting_tokens for load in cluster.loads()) == 0)
    before = sum(load.stats.num_completion_tokens for load in cluster.loads())
    time.sleep(3 * PULSE_SECONDS)
    assert sum(load.stats.num_running for load in cluster.loads()) == 0
    assert sum(load.stats.num_completion_tokens for load in cluster.loads()) <= before + 3 * 200


def test_errors_are_the_same(on_ray: str, alone: str) -> None:
    wrong: list[dict[str, Any]] = [{"model": "other"}, {"temperature": -1}, {"messages": []}, {"n": 10_000}]
    for fields in wrong:
        body = {"model": MODEL, "messages": SAY, **fields}
        through, direct = (
            httpx.post(f"{address}/v1/chat/completions", json=body) for address in (on_ray, alone)
        )
        assert through.status_code == direct.status_code >= 400
        assert through.json() == direct.json()


def test_the_other_routes_are_there(on_ray: str, alone: str) -> None:
    for path in ("/v1/models", "/ready", "/health"):
        through, direct = httpx.get(f"{on_ray}{path}"), httpx.get(f"{alone}{path}")
        assert (path, through.status_code) == (path, direct.status_code)
    assert "caravan_" in httpx.get(f"{on_ray}/metrics").text
    body = {"model": MODEL, "input": "Tell me of caravans.", "temperature": 0, "max_output_tokens": 16}
    kept = httpx.post(f"{on_ray}/v1/responses", json=body).json()
    again = httpx.get(f"{on_ray}/v1/responses/{kept['id']}").json()
    assert again["output"] == kept["output"]
