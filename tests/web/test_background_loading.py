"""Responses that are made in the background by a model which is not loaded yet."""

from collections.abc import Generator
from pathlib import Path

import pytest
from caravan.config.settings import Settings
from caravan.models import ModelRegistry
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, spec_of
from tests.responses_contract import checked_response, events_of
from tests.waiting import wait_until
from tests.web.responding import URL, ask, say, stream


@pytest.fixture
def engine() -> ScriptedEngine:
    engine = ScriptedEngine()
    engine.holds_start = True
    return engine


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    """Over a model that is loaded by the first request that needs it."""
    registry = ModelRegistry([spec_of(loaded_model(engine))], load_wait_seconds=0.01)
    with TestClient(
        create_app(Settings(responses_db=Path("memory")), registry),
        raise_server_exceptions=False,
        base_url="http://localhost",
    ) as made:
        yield made


def test_it_is_queued_at_once_and_waits_as_long_as_the_load_takes(
    client: TestClient, engine: ScriptedEngine
) -> None:
    say(engine, "one ", "two")
    queued = ask(client, background=True, top_p=0.5, max_output_tokens=7)
    assert queued["status"] == "queued"
    url = f"{URL}/{queued['id']}"
    wait_until(lambda: engine.num_starts == 1)
    # Who waits with an open connection gives up after `load_wait_seconds`.
    assert client.post(URL, json={"model": "fake", "input": "Hi"}).status_code == 503
    assert client.get(url).json() == queued
    engine.holds_start = False
    wait_until(lambda: client.get(url).json()["status"] == "completed")
    done = client.get(url).json()
    assert checked_response(done).output_text == "one two"
    changing = ("status", "output", "usage", "completed_at")
    assert {k: v for k, v in done.items() if k not in changing} == {
        k: v for k, v in queued.items() if k not in changing
    }


@pytest.mark.parametrize("with_stream", [False, True])
def test_a_load_that_fails_is_a_failed_response(
    client: TestClient, engine: ScriptedEngine, *, with_stream: bool
) -> None:
    engine.holds_start = False
    engine.start_failure = RuntimeError("a secret")
    if with_stream:
        events = stream(client, background=True)
        assert [event["type"].removeprefix("response.") for event in events] == [
            "created",
            "queued",
            "failed",
        ]
        url = f"{URL}/{events[0]['response']['id']}"
        assert events_of(client.get(url, params={"stream": "true"}).text) == events
    else:
        url = f"{URL}/{ask(client, background=True)['id']}"
    wait_until(lambda: client.get(url).json()["status"] == "failed")
    failed = client.get(url).json()
    checked_response(failed)
    assert failed["error"]["code"] == "server_error"
    assert "could not be loaded" in failed["error"]["message"]


def test_what_the_model_must_be_asked_about_fails_later_and_all_else_at_once(
    client: TestClient, engine: ScriptedEngine
) -> None:
    body = {"model": "fake", "background": True}
    for fields, param in (
        ({"input": "x", "temperature": 0.5, "mirostat_tau": 1.0}, "mirostat_tau"),
        ({"input": "x", "preset": "none"}, "preset"),
        ({"input": "x", "model": "none"}, "model"),
    ):
        answer = client.post(URL, json={**body, **fields})
        assert answer.status_code in (400, 404)
        assert answer.json()["error"]["param"] == param
    assert engine.num_starts == 0
    engine.holds_start = False
    url = f"{URL}/{ask(client, background=True, input='x' * 600)['id']}"
    wait_until(lambda: client.get(url).json()["status"] == "failed")
    error = client.get(url).json()["error"]
    assert error["code"] == "invalid_prompt"
    assert "tokens" in error["message"]


def test_it_is_cancelled_or_deleted_before_its_model_is_there(
    client: TestClient, engine: ScriptedEngine
) -> None:
    first, second = (ask(client, background=True)["id"] for _ in range(2))
    wait_until(lambda: engine.num_starts == 1)
    assert client.post(f"{URL}/{first}/cancel").json()["status"] == "cancelled"
    assert client.delete(f"{URL}/{second}").json()["deleted"]
    engine.holds_start = False
    wait_until(lambda: client.post(URL, json={"model": "fake", "input": "Hi"}).status_code == 200)
    assert len(engine.requests) == 1
