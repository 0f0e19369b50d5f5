"""Calls from the wire to the judged answer, on the model that ships, as hot as it gets."""

import json
from collections.abc import Generator
from typing import Any

import httpx
import jsonschema
import pytest
from caravan.config.settings import Settings
from caravan.models import registry_of

from tests.live_server import live_server
from tests.waiting import PATIENCE

TEXT = {"type": "string", "maxLength": 8}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": "^[a-c]{2}-[0-9]{1,3}$"},
        "kind": {"oneOf": [{"const": "x"}, {"const": "a longer one"}]},
        "level": {"type": ["string", "null"], "maxLength": 4},
        "inner": {
            "type": "object",
            "additionalProperties": {"enum": [1, True, None, "a"]},
            "maxProperties": 4,
        },
        "texts": {"type": "array", "items": TEXT, "maxItems": 2},
    },
    "required": ["code", "kind", "level", "inner", "texts"],
    "additionalProperties": False,
}
PATTERN = "[a-z]{2,5}( [a-z]{2,5}){1,3}"


@pytest.fixture(scope="module", params=["qwen_coder", "pythonic", "gemma4", "hermes", "generic"])
def client(request: pytest.FixtureRequest) -> Generator[httpx.Client, None, None]:
    """A server whose model is taken to write calls in this format."""
    settings = Settings(context_size=2048, threads=1, tool_format=request.param)
    with (
        live_server(registry_of(settings), settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        yield client


def called(client: httpx.Client, tool: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls that are whole, out of some."""
    asked = {
        "model": "caravan-resident",
        "messages": [{"role": "user", "content": "Call f."}],
        "tools": [tool],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": 200,
        "temperature": 1.5,
        "seed": 3,
        "n": 4,
    }
    answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    choices = answer.json()["choices"]
    return [one["message"]["tool_calls"][0] for one in choices if one["finish_reason"] == "tool_calls"]


def test_arguments_keep_to_their_schema_and_the_verdict_agrees(client: httpx.Client) -> None:
    calls = called(client, {"type": "function", "function": {"name": "f", "parameters": SCHEMA}})
    assert calls
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        jsonschema.Draft202012Validator(SCHEMA).validate(arguments)


def test_the_input_of_a_custom_tool_keeps_to_its_expression(client: httpx.Client) -> None:
    grammar = {"syntax": "regex", "definition": PATTERN}
    tool = {"type": "custom", "custom": {"name": "f", "format": {"type": "grammar", "grammar": grammar}}}
    assert len(called(client, tool)) == 4
