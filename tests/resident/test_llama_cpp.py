"""llama.cpp's own routes, and what they tell, with the model that ships."""

import json
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE
from tests.web.llama_clients import VIM_FILLS, VIM_PREPARES

Json = dict[str, Any]
GREEDY: Json = {"temperature": 0, "prompt": "Once upon a time", "n_predict": 8}


@pytest.fixture
def client(live_server: ServerProcess) -> Generator[httpx.Client, None, None]:
    with httpx.Client(base_url=live_server.address, timeout=PATIENCE) as client:
        yield client


def completed(client: httpx.Client, path: str = "/completion", **body: object) -> Json:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def events(client: httpx.Client, **body: object) -> list[Json]:
    text = client.post("/completion", json={**body, "stream": True}).text
    return [
        json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")
    ]


def test_a_completion_says_the_same_as_openais_route(client: httpx.Client) -> None:
    told = completed(client, **GREEDY, n_probs=2, return_tokens=True)
    theirs = client.post(
        "/v1/completions", json={"prompt": GREEDY["prompt"], "temperature": 0, "max_tokens": 8, "logprobs": 2}
    ).json()["choices"][0]
    assert told["content"] == theirs["text"]
    entries = told["completion_probabilities"]
    assert [entry["logprob"] for entry in entries] == theirs["logprobs"]["token_logprobs"]
    assert [entry["id"] for entry in entries] == told["tokens"]
    assert (told["stop_type"], told["tokens_predicted"]) == ("limit", 8)
    assert "".join(event["content"] for event in events(client, **GREEDY)) == told["content"]
    tokens = client.post("/tokenize", json={"content": GREEDY["prompt"], "add_special": True}).json()[
        "tokens"
    ]
    for prompt in (
        tokens,
        [tokens[0], client.post("/detokenize", json={"tokens": tokens[1:]}).json()["content"]],
    ):
        assert completed(client, **(GREEDY | {"prompt": prompt}))["content"] == told["content"]


def test_a_text_tells_why_it_has_ended(client: httpx.Client) -> None:
    full = completed(client, **GREEDY)["content"]
    word = full[4:7]
    cut = completed(client, **GREEDY, stop=["no such word", word])
    assert (cut["stop_type"], cut["stopping_word"]) == ("word", word)
    assert cut["content"] == full[: full.index(word)]
    ended = completed(client, prompt="x", grammar='root ::= "yes"', temperature=0)
    assert (ended["content"], ended["stop_type"], ended["truncated"]) == ("yes", "eos", False)
    context = client.get("/props").json()["default_generation_settings"]["n_ctx"]
    tokens = [40] * (context - 4)
    filled = completed(client, prompt=tokens, ignore_eos=True, response_fields=["truncated", "stop_type"])
    assert filled == {"truncated": True, "stop_type": "limit"}


def test_what_was_left_for_the_draw_is_told(client: httpx.Client) -> None:
    drawn = completed(
        client, **(GREEDY | {"temperature": 2, "top_k": 2, "seed": 1}), n_probs=5, post_sampling_probs=True
    )
    for entry in drawn["completion_probabilities"]:
        chances = {one["id"]: one["prob"] for one in entry["top_probs"]}
        assert 1 <= len(chances) <= 2
        assert sum(chances.values()) == pytest.approx(1)
        assert entry["prob"] == pytest.approx(chances[entry["id"]])
    greedy = completed(client, **GREEDY, n_probs=5, post_sampling_probs=True)
    assert {entry["prob"] for entry in greedy["completion_probabilities"]} == {1.0}


def test_progress_goes_from_the_cache_to_the_whole_prompt(client: httpx.Client) -> None:
    prompt = "The quick brown fox jumps over the lazy dog. " * 40
    for is_cached in (False, True):
        found = events(client, prompt=prompt, n_predict=1, return_progress=True, cache_salt="progress")
        told = [event["prompt_progress"] for event in found if "prompt_progress" in event]
        assert told[0]["processed"] == told[0]["cache"]
        assert bool(told[0]["cache"]) == is_cached
        assert told[-1]["processed"] == told[-1]["total"] == found[-1]["tokens_evaluated"]
        assert found[-1]["timings"]["cache_n"] == told[0]["cache"]


def test_a_gap_is_filled_as_an_editor_asks(client: httpx.Client) -> None:
    add = {
        "input_prefix": "def add(a, b):\n    return",
        "input_suffix": "\n",
        "samplers": ["top_k", "infill"],
    }
    filled = completed(client, "/infill", **add, top_k=1, n_predict=16)
    assert (filled["content"].strip(), filled["stop_type"]) == ("a + b", "eos")
    completed(client, "/infill", **VIM_PREPARES)
    assert completed(client, "/infill", **VIM_FILLS)["content"] is not None
    again = completed(client, "/infill", **(VIM_FILLS | {"response_fields": ["timings/cache_n"]}))
    assert again["timings/cache_n"] > 50
