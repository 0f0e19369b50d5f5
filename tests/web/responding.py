"""Requests to `/v1/responses` over a scripted model, each answer held against OpenAI's contract."""

from typing import Any

from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.responses_contract import checked_response, events_of

URL = "/v1/responses"


def say(engine: ScriptedEngine, *pieces: str) -> None:
    """Have the model say this."""
    engine.script = lambda _request, _index: pieces


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """The response to a request."""
    answer = client.post(URL, json={"model": "fake", "input": "Hi", **fields})
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()
    checked_response(data)
    return data


def stream(client: TestClient, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The events of the answer to a request."""
    answer = client.post(URL, json={"model": "fake", "input": "Hi", "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    return events_of(answer.text)


def prompt(engine: ScriptedEngine) -> str:
    """The last prompt that the engine was given, by the tokens of the fake vocabulary."""
    words = {257: "<|im_start|>", 258: "<|im_end|>"}
    parts = [words[i].encode() if i in words else bytes([i]) for i in engine.requests[-1].token_ids]
    return b"".join(parts).decode()
