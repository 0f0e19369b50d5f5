"""What ends an answer: stop strings in its content alone, and a limit wherever it falls."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.faults.process import ServerProcess
from tests.resident.test_tools import MODEL, QUESTION, THINK, TIME, WEATHER, collected


@pytest.fixture(scope="module")
def client(live_server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=live_server.url, api_key="none", max_retries=0) as made:
        yield made


def both(client: OpenAI, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """A greedy answer, streamed and whole, which have to be the same."""
    request: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "temperature": 0,
        "max_tokens": 100,
        **options,
    }
    streamed = collected(client.chat.completions.create(stream=True, **request))
    choice = client.chat.completions.create(**request).choices[0]
    calls = [
        [call.function.name, call.function.arguments]
        for call in choice.message.tool_calls or []
        if call.type == "function"
    ]
    thought = getattr(choice.message, "reasoning_content", None) or ""
    whole = {"content": choice.message.content or "", "thought": thought, "calls": calls}
    assert streamed == {**whole, "reason": choice.finish_reason}
    return streamed


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize("stop", ['"', "{", "Paris", "<", "<tool_call>", "weather"])
def test_stop_strings_do_not_cut_calls(client: OpenAI, stop: str, choice: str) -> None:
    options = {"tools": [TIME, WEATHER], "tool_choice": choice}
    stopped = both(client, stop=[stop], **options)
    assert stopped == both(client, **options)
    assert stopped["reason"] == "tool_calls"
    assert json.loads(stopped["calls"][0][1]) == {"city": "Paris"}


def test_stop_strings_do_not_cut_thoughts(client: OpenAI) -> None:
    free = both(client, extra_body=THINK)
    assert len(free["thought"]) > 1
    for stop in (free["thought"][:3], free["thought"][-2:], "think>"):
        if stop not in free["content"]:
            assert both(client, stop=[stop], extra_body=THINK) == free
    word = free["content"].split()[-1]
    cut = both(client, stop=[word], extra_body=THINK)
    assert cut["thought"] == free["thought"]
    assert cut["content"] == free["content"][: free["content"].index(word)]


def test_stop_strings_cut_content_beside_tools(client: OpenAI) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    cut = both(client, messages=messages, tools=[TIME, WEATHER], stop=["Paris"])
    assert (cut["calls"], cut["reason"]) == ([], "stop")
    assert "Paris" not in cut["content"]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_call_that_a_limit_cuts_is_no_reason_and_no_content(client: OpenAI, choice: str) -> None:
    options = {"tools": [TIME, WEATHER], "tool_choice": choice}
    whole = both(client, **options)
    num_told = 0
    for limit in range(1, 60):
        cut = both(client, max_tokens=limit, **options)
        if cut["reason"] == "tool_calls":
            assert cut == whole
            break
        assert (cut["reason"], cut["content"]) == ("length", "")
        for name, text in cut["calls"]:
            assert name == whole["calls"][0][0]
            assert whole["calls"][0][1].startswith(text)
            num_told += 1
    else:
        raise AssertionError("the call was never whole")
    assert num_told


def test_a_response_whose_call_is_cut_is_incomplete(client: OpenAI) -> None:
    tool: Any = {"type": "function", "strict": False, **WEATHER["function"]}  # type: ignore[dict-item]
    for limit in range(16, 40):
        answer = client.responses.create(
            model=MODEL, input=QUESTION, temperature=0, max_output_tokens=limit, tools=[tool]
        )
        for item in answer.output:
            assert item.type == "function_call"
            assert item.status == answer.status
        if answer.status == "completed":
            assert json.loads(answer.output[0].arguments) == {"city": "Paris"}  # type: ignore[union-attr, arg-type]
            return
        assert answer.output_text == ""
    raise AssertionError("the call was never whole")
