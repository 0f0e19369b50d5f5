"""Liveness, readiness, and the end of the app."""

from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over


def test_ready_follows_the_engine(client: TestClient, engine: ScriptedEngine) -> None:
    assert client.get("/ready").json() == {"status": "ready"}
    engine.is_ready = False
    response = client.get("/ready")
    assert (response.status_code, response.json()) == (503, {"status": "unavailable"})
    assert client.get("/health").json() == {"status": "ok"}


def test_the_app_closes_its_engines_when_it_ends() -> None:
    engine = ScriptedEngine()
    registry = registry_over(loaded_model(engine))
    with TestClient(create_app(Settings(), registry), base_url="http://localhost") as client:
        assert client.get("/ready").status_code == 503
        assert client.portal is not None
        client.portal.call(registry.start)
        assert client.get("/ready").status_code == 200
        assert not engine.closed
    assert engine.closed


def test_load_counts_what_runs_and_waits(client: TestClient, engine: ScriptedEngine) -> None:
    assert client.get("/load").json() == {"server_load": 0}
    engine.running.update({"one", "two"})
    assert client.get("/load").json() == {"server_load": 2}
