"""What `/v1/messages` refuses, and how it tells of what fails: in Anthropic's envelope."""

from typing import Any

import pytest
from caravan.errors import EngineFailedError
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.messaging import HI, RESULT, URL, USE, WEATHER, error_of, talk

THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
FOUND = {"type": "search_result", "source": "a", "title": "b", "content": []}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (talk([IMAGE]), "messages[0].content[0].source"),
        (talk("a", [USE], [{**RESULT, "content": [IMAGE]}]), "messages[2].content[0].content[0].source"),
        (talk([{"type": "what"}]), "messages[0].content[0]"),
        (talk([PDF]), "messages[0].content[0].source"),
        (talk([RESULT]), "messages[0].content[0].tool_use_id"),
        (talk("a", [{"type": "text", "text": "b"}, USE], "c"), "messages[1].content[1]"),
        (talk("a", [RESULT]), "messages[1].content[0]"),
        (talk("a", [FOUND]), "messages[1].content[0]"),
        (talk([USE]), "messages[0].content[0]"),
        ({"messages": []}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 900}, "temperature"),
        ({"stop_sequences": ["a"], "stop": ["b"]}, "stop_sequences"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [WEATHER]}, "tool_choice.name"),
        ({"tools": [{**WEATHER, "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({**talk("a", "b"), **THINK}, "thinking.budget_tokens"),
        ({"frequency_penalty": 90}, "frequency_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"temprature": 1}, "temprature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_name_the_field_in_anthropics_envelope(
    client: TestClient, engine: ScriptedEngine, fields: dict[str, Any], param: str
) -> None:
    for stream_too in ({}, {"stream": True}):
        answer = client.post(URL, json={**HI, **fields, **stream_too})
        assert error_of(answer) == (400, "invalid_request_error", param), answer.text
        assert f"'{param}" in answer.json()["error"]["message"]
    assert not engine.requests


def test_failures_have_anthropics_types(client: TestClient, engine: ScriptedEngine) -> None:
    assert error_of(client.post(URL, json={**HI, "model": "none"})) == (404, "not_found_error", "model")
    assert error_of(client.get(URL))[:2] == (405, "invalid_request_error")
    assert error_of(client.get(f"{URL}/x"))[:2] == (404, "not_found_error")
    assert error_of(client.post(URL, content=b"{"))[:2] == (400, "invalid_request_error")
    long = client.post(URL, json={**HI, **talk("x" * 9000)})
    assert error_of(long)[:2] == (400, "invalid_request_error")
    assert long.json()["error"]["message"].startswith("prompt is too long: ")
    engine.failure = EngineFailedError("It failed.")
    assert error_of(client.post(URL, json=HI))[:2] == (500, "api_error")


def test_a_thread_is_refused_as_the_sdk_reads_it(client: TestClient) -> None:
    refused = client.post(URL, json={**HI, "thread": {"type": "create"}})
    assert error_of(refused) == (400, "invalid_request_error", "thread")
    assert refused.json()["error"]["details"]["error_code"] == "thread_unsupported_request"
