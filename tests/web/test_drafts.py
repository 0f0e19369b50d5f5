"""Predictions and the limits of drafts, from a request to the engine and back."""

import msgspec
import pytest
from caravan.engine.outputs import TokenOutput
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
TEXT = {"model": "fake", "prompt": "x"}
ROUTES = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", TEXT),
    ("/v1/responses", {"model": "fake", "input": "x"}),
]
PARTS = [{"type": "text", "text": "one "}, {"type": "text", "text": "<s>two"}]


@pytest.mark.parametrize("content", ["one <s>two", PARTS])
def test_a_prediction_reaches_the_engine_as_plain_text(
    client: TestClient, engine: ScriptedEngine, content: object
) -> None:
    asked = {**CHAT, "prediction": {"type": "content", "content": content}}
    assert client.post(ROUTES[0][0], json=asked).status_code == 200
    assert bytes(engine.requests[0].predicted_token_ids) == b"one <s>two"


def test_a_long_prediction_is_cut(client: TestClient, engine: ScriptedEngine) -> None:
    asked = {**CHAT, "prediction": {"type": "content", "content": "y" * 1_000_000}}
    assert client.post(ROUTES[0][0], json=asked).status_code == 200
    assert 0 < len(engine.requests[0].predicted_token_ids) < 1_000_000


@pytest.mark.parametrize(
    ("prediction", "param"),
    [
        ({"type": "other", "content": "x"}, "prediction.type"),
        ({"type": "content", "content": 5}, "prediction.content"),
        ({"type": "content"}, "prediction.content"),
        ("x", "prediction"),
    ],
)
def test_other_predictions_are_refused(client: TestClient, prediction: object, param: str) -> None:
    answer = client.post(ROUTES[0][0], json={**CHAT, "prediction": prediction})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(("url", "body"), ROUTES)
def test_a_request_may_limit_drafts(
    client: TestClient, engine: ScriptedEngine, url: str, body: dict[str, object]
) -> None:
    wishes = [
        None,
        {},
        {"enabled": True},
        {"enabled": False},
        {"max_draft_tokens": 3},
        {"max_draft_tokens": 0},
    ]
    for wish in wishes:
        assert client.post(url, json={**body, "speculative": wish}).status_code == 200
    assert [request.max_drafted for request in engine.requests] == [None, None, None, 0, 3, 0]
    refused = client.post(url, json={**body, "speculative": {"max_draft_tokens": -1}})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "speculative.max_draft_tokens"


def test_usage_counts_what_the_engine_tells(
    client: TestClient, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = engine.generate

    async def generate(*arguments: object, **named: object) -> object:
        async for output in plain(*arguments, **named):  # type: ignore[arg-type]
            assert isinstance(output, TokenOutput)
            yield msgspec.structs.replace(output, num_accepted_predictions=5, num_rejected_predictions=2)

    monkeypatch.setattr(engine, "generate", generate)
    details = client.post(ROUTES[0][0], json={**CHAT, "n": 2}).json()["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] == 10
    assert details["rejected_prediction_tokens"] == 4
