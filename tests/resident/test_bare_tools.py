"""Calls without a marker, of the model that ships, which is led to begin with one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.faults.process import ServerProcess

CITIES = ["Oslo", "Lima"]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": CITIES}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
QUESTION = {"role": "user", "content": "What is the weather in Paris?"}
# Its own marker, from which it goes on with what is the whole of a call here.
LEAD = {"role": "assistant", "content": "<tool_call>\n"}


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    server = ServerProcess("--threads", "1", "--tool-format", "json")
    try:
        with OpenAI(base_url=server.url, api_key="none", max_retries=0) as made:
            yield made
    finally:
        server.stop()


def ask(client: OpenAI, *messages: Any, **options: object) -> Any:  # noqa: ANN401
    is_led = messages[-1] is LEAD
    body = {"continue_final_message": True, "add_generation_prompt": False} if is_led else {}
    request: dict[str, Any] = {"tools": [WEATHER], "max_tokens": 60, "extra_body": body, **options}
    return client.chat.completions.create(model="caravan-resident", messages=list(messages), **request)


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_what_begins_like_a_call_keeps_to_a_strict_schema(client: OpenAI, temperature: float) -> None:
    options = {"temperature": temperature, "seed": 1, "parallel_tool_calls": False}
    (choice,) = ask(client, QUESTION, LEAD, **options).choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content, call.function.name) == (
        "tool_calls",
        None,
        "get_weather",
    )
    assert json.loads(call.function.arguments)["city"] in CITIES
    deltas = [chunk.choices[0].delta for chunk in ask(client, QUESTION, LEAD, stream=True, **options)]
    pieces = [part.function for delta in deltas for part in delta.tool_calls or ()]
    assert "".join(piece.arguments for piece in pieces) == call.function.arguments
    assert [piece.name for piece in pieces if piece.name] == ["get_weather"]
    assert not any(delta.content for delta in deltas)


def test_what_begins_otherwise_is_free(client: OpenAI) -> None:
    (choice,) = ask(client, QUESTION, temperature=0).choices
    assert choice.message.tool_calls is None
    # Strict arguments could not be of this city.
    assert "Paris" in choice.message.content
