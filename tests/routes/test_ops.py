"""Liveness, readiness, and requests that come too early."""

from fastapi.testclient import TestClient

from server.app import create_app
from server.registry import ModelRegistry
from server.settings import Settings
from tests.fakes_web import ScriptedEngine, loaded_model


def test_ready_follows_the_engine(client: TestClient, engine: ScriptedEngine) -> None:
    assert client.get("/ready").json() == {"status": "ready"}
    engine.is_ready = False
    response = client.get("/ready")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable"})
    assert client.get("/health").json() == {"status": "ok"}


def test_a_model_that_is_still_loading_is_a_503_with_retry_after() -> None:
    app = create_app(Settings(), ModelRegistry([loaded_model()]))
    with TestClient(app) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert client.get("/v1/models").status_code == 200
        for path, field in (("completions", {"prompt": "Hi"}), ("chat/completions", {"messages": USER})):
            response = client.post(f"/v1/{path}", json={"model": "fake", **field})
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert response.json()["error"]["code"] == "engine_unavailable"


USER = [{"role": "user", "content": "Hi"}]


def test_the_app_closes_its_engines_when_it_ends() -> None:
    engine = ScriptedEngine()
    with TestClient(create_app(Settings(), ModelRegistry([loaded_model(engine)]))):
        assert not engine.closed
    assert engine.closed
