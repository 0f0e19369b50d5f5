"""An app over a scripted model, called in the process or through a real server."""

from collections.abc import Generator

import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server


@pytest.fixture
def engine() -> ScriptedEngine:
    """The engine under the app; tests change its script before they send."""
    return ScriptedEngine()


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    """The app, called without a network; right for whole answers, not for the timing of streams."""
    registry = registry_over(loaded_model(engine))
    app = create_app(Settings(), registry)
    with TestClient(app, raise_server_exceptions=False, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


@pytest.fixture
def live(engine: ScriptedEngine) -> Generator[str, None, None]:
    """Address of a real server over `engine`."""
    with live_server(registry_over(loaded_model(engine)), Settings(shutdown_seconds=0)) as address:
        yield address


@pytest.fixture
def talkative(engine: ScriptedEngine) -> Generator[str, None, None]:
    """The same with short silences before its keep-alives, which may come anywhere."""
    settings = Settings(sse_ping_seconds=0.1, shutdown_seconds=0)
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        yield address
