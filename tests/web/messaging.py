"""Requests to `/v1/messages` over a scripted model, each answer held against this server's own schemas."""

import json
from typing import Any

from caravan_schemas.anthropic_output import MessageAnswer, MessagesError, MessagesEvent
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.fakes_web import ScriptedEngine

URL = "/v1/messages"
COUNT = f"{URL}/count_tokens"
HI: dict[str, Any] = {"model": "fake", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
USE = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "x"}
_EVENT: TypeAdapter[MessagesEvent] = TypeAdapter(MessagesEvent)


def say(engine: ScriptedEngine, *pieces: str) -> None:
    """Have the model say this."""
    engine.script = lambda _request, _index: pieces


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """The message that answers a request."""
    answer = client.post(URL, json={**HI, **fields})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    MessageAnswer.model_validate(data)
    return data


def stream(client: TestClient, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The events of the answer to a request."""
    answer = client.post(URL, json={**HI, "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def error_of(answer: Any) -> tuple[int, str, str | None]:  # noqa: ANN401
    """Status, type and field of a refusal in Anthropic's envelope."""
    error = MessagesError.model_validate_json(answer.content)
    assert error.request_id == answer.headers["request-id"] == answer.headers["x-request-id"]
    return answer.status_code, error.error.type, error.error.details.param


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each under its own name, and nothing else."""
    events = []
    for block in filter(None, text.split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        _EVENT.validate_python(event)
        events.append(event)
    return events


def folded(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the events of a stream add up to, as Anthropic's own SDK adds them up."""
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    message: dict[str, Any] = events[0]["message"]
    inputs: dict[int, str] = {}
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(event["content_block"])
            case "content_block_delta":
                delta, block = event["delta"], message["content"][event["index"]]
                kind = delta.pop("type")
                if kind == "input_json_delta":
                    inputs[event["index"]] = inputs.get(event["index"], "") + delta["partial_json"]
                else:
                    ((name, text),) = delta.items()
                    block[name] += text
            case "content_block_stop" if event["index"] in inputs:
                message["content"][event["index"]]["input"] = json.loads(inputs[event["index"]])
            case "message_delta":
                message |= event["delta"]
                message["usage"] = event["usage"]
    return message


def talk(*turns: Any) -> dict[str, Any]:  # noqa: ANN401
    """Messages of the user and the assistant in turns."""
    return {
        "messages": [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]
    }


def prompt(engine: ScriptedEngine) -> str:
    """The last prompt that the engine was given, by the tokens of the fake vocabulary."""
    words = {257: "<|im_start|>", 258: "<|im_end|>"}
    parts = [words[i].encode() if i in words else bytes([i]) for i in engine.requests[-1].token_ids]
    return b"".join(parts).decode()
