"""`keep_alive` on every kind of route: the model goes when the request wants it, or the sender is told."""

import time
from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any

import pytest
from caravan.config.settings import Settings
from caravan.models import ModelRegistry, ModelSpec, keeping
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, spec_of
from tests.waiting import wait_until

SAYS = [{"role": "user", "content": "x"}]
ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": SAYS}),
    ("/v1/chat/completions", {"messages": SAYS, "stream": True}),
    ("/v1/completions", {"prompt": "x"}),
    ("/v1/responses", {"input": "x", "store": False}),
    ("/v1/messages", {"messages": SAYS, "max_tokens": 4}),
    ("/v1/messages/count_tokens", {"messages": SAYS}),
    ("/v1/embeddings", {"input": "x"}),
    ("/v1/rerank", {"query": "x", "documents": ["y"]}),
    ("/v1/decisions", {"input": "x", "questions": [{"type": "predicate", "instructions": "It is."}]}),
    ("/tokenize", {"prompt": "x"}),
    ("/completion", {"prompt": "x"}),
    ("/api/chat", {"messages": SAYS}),
    ("/api/generate", {"prompt": "x", "stream": False}),
    ("/api/embed", {"input": "x"}),
    ("/api/embeddings", {"prompt": "x"}),
]


def client_over(spec: ModelSpec) -> Generator[TestClient, None, None]:
    registry = ModelRegistry([spec])
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Generator[TestClient, None, None]:
    """The operator lets an unused model stay for ten minutes."""
    monkeypatch.setattr(keeping, "_KEEP_SECONDS", 0.01)
    yield from client_over(spec_of(loaded_model(engine), idle_unload=600.0))


def status(client: TestClient) -> str:
    found = client.get("/v1/models/fake").json()["status"]
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_zero_unloads_the_model_behind_the_request(
    client: TestClient, path: str, body: Mapping[str, object]
) -> None:
    for asked in (0, "0s"):
        answer = client.post(path, json={**body, "model": "fake", "keep_alive": asked})
        assert answer.status_code == 200, answer.text
        assert "x-caravan-ignored" not in answer.headers
        wait_until(lambda: status(client) == "available")
    # It is loaded again for the next one, and stays as the operator wants it.
    assert client.post(path, json={**body, "model": "fake"}).status_code == 200
    assert status(client) == "loaded"


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_what_the_operator_does_not_allow_is_told(
    client: TestClient, path: str, body: Mapping[str, object]
) -> None:
    for asked, told in (("5m", None), ("1h", "keep_alive"), (-1, "keep_alive")):
        answer = client.post(path, json={**body, "model": "fake", "keep_alive": asked})
        assert answer.status_code == 200, answer.text
        assert answer.headers.get("x-caravan-ignored") == told
    assert status(client) == "loaded"


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_what_is_no_duration_is_refused(client: TestClient, path: str, body: Mapping[str, object]) -> None:
    wrong: tuple[object, ...] = ("soon", True, [], {}, "5 m", "1e9")
    for asked in wrong:
        answer = client.post(path, json={**body, "model": "fake", "keep_alive": asked})
        assert answer.status_code == 400
        assert "'keep_alive' must be a duration" in answer.text or "keep_alive must be" in answer.text


def test_ollamas_list_says_when_the_model_goes(client: TestClient) -> None:
    """The operator's ten minutes, or what the last request wants, from now on."""
    path, body = ROUTES[0]
    for asked, seconds in ((None, 600), ("5m", 300), (-1, 600), (30, 30)):
        before = time.time()
        client.post(path, json={**body, "model": "fake", "keep_alive": asked})
        told = datetime.fromisoformat(client.get("/api/ps").json()["models"][0]["expires_at"])
        assert before + seconds - 1 <= told.timestamp() <= time.time() + seconds


def test_a_pinned_model_stays_and_the_sender_is_told(engine: ScriptedEngine) -> None:
    for client in client_over(spec_of(loaded_model(engine), pinned=True)):
        body = {**ROUTES[0][1], "model": "fake"}
        told = client.post(ROUTES[0][0], json={**body, "keep_alive": 0})
        assert told.headers["x-caravan-ignored"] == "keep_alive"
        kept = client.post(ROUTES[0][0], json={**body, "keep_alive": -1})
        assert "x-caravan-ignored" not in kept.headers
        assert status(client) == "loaded"
