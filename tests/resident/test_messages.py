"""Anthropic's Messages API with the model that ships: answers, and what a long conversation costs."""

import itertools
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE
from tests.web.messaging import COUNT, URL, WEATHER, events_of, folded

MODEL = "caravan-resident"
RECORDED = Path(__file__).parent / "data" / "claude_code.jsonl"
CAPITAL = "What is the capital of France?"
# What the marks around a turn come to, and a token at the edge of what was cached.
FEW = 12


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live_server.address, timeout=PATIENCE) as made:
        yield made


def ask(client: httpx.Client, messages: list[Any], **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """A greedy answer."""
    body = {"model": MODEL, "max_tokens": 100, "temperature": 0, "messages": messages, **fields}
    answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    return data


def user(content: object) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": content}


def test_a_question_is_answered_whole_and_streamed(client: httpx.Client) -> None:
    whole = ask(client, [user(CAPITAL)])
    assert whole["content"] == [{"type": "text", "text": "The capital of France is Paris."}]
    assert whole["stop_reason"] == "end_turn"
    body = {"model": MODEL, "max_tokens": 100, "temperature": 0, "messages": [user(CAPITAL)], "stream": True}
    message = folded(events_of(client.post(URL, json=body).text))
    assert message["content"] == whole["content"]
    assert message["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


def test_the_answer_says_which_sequence_has_ended_it(client: httpx.Client) -> None:
    message = ask(client, [user(CAPITAL)], stop_sequences=["Berlin", " is"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", " is")
    assert message["content"][0]["text"] == "The capital of France"


def test_a_thought_comes_where_it_is_asked_for(client: httpx.Client) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    thought, text = ask(client, [user(CAPITAL)], thinking=thinking)["content"]
    assert (thought["type"], text["type"]) == ("thinking", "text")
    assert thought["thinking"].strip()
    assert "Paris" in text["text"]


def test_a_prompt_can_be_computed_ahead(client: httpx.Client) -> None:
    told = [user(f"{secrets.token_hex(20)}: {CAPITAL}")]
    ahead = ask(client, told, max_tokens=0)
    assert (ahead["content"], ahead["stop_reason"]) == ([], "max_tokens")
    assert ask(client, told)["usage"]["input_tokens"] <= 1


def test_a_full_context_is_told_from_a_limit(client: httpx.Client) -> None:
    message = ask(client, [user("Tell me a story.")], max_tokens=-1, ignore_eos=True)
    assert message["stop_reason"] == "model_context_window_exceeded"
    assert ask(client, [user(CAPITAL)], max_tokens=2)["stop_reason"] == "max_tokens"


def test_every_request_of_claude_code_computes_only_what_is_new(client: httpx.Client) -> None:
    """Requests of one conversation: it reads a file, runs a command, searches for tools, calls what it found.

    They are as they were sent, but for names, long texts, and all tools but six. To Anthropic's own address,
    the first line has a hash besides that is new in each request.
    """
    mark, hashes = f" You are agent {secrets.token_hex(8)}.", itertools.count(0x1F3A0)
    known = 0
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        body = json.loads(line) | {"model": MODEL, "max_tokens": 4}
        body["system"][0]["text"] += f" cch={next(hashes):x};"
        body["system"][1]["text"] += mark
        prompt = {name: body[name] for name in ("model", "system", "messages", "tools", "thinking")}
        size = client.post(COUNT, json=prompt).json()["input_tokens"]
        answer = client.post(f"{URL}?beta=true", json=body, headers={"anthropic-version": "2023-06-01"})
        assert answer.status_code == 200, answer.text
        usage = folded(events_of(answer.text))["usage"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] == size
        if known:
            assert usage["input_tokens"] <= size - known + FEW, (usage, size, known)
            assert usage["cache_read_input_tokens"] > 300
        known = size
    assert "TaskStop" in line


def test_another_day_costs_neither_the_system_prompt_nor_the_tools(client: httpx.Client) -> None:
    rules = f"You are agent {secrets.token_hex(8)}.\n" + "Be brief. " * 40

    def cached(date: str) -> tuple[int, int]:
        usage = ask(client, [user(CAPITAL)], system=f"{rules}\nToday's date: {date}\n", tools=[WEATHER])[
            "usage"
        ]
        return usage["cache_read_input_tokens"], usage["input_tokens"]

    _, size = cached("2026-11-30")
    read, computed = cached("2026-12-01")
    assert read > 3 * computed
    assert size > read
