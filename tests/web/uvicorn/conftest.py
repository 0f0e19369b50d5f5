"""Servers over a scripted engine, for what happens before and after an app."""

import contextlib
from collections.abc import Callable, Generator

import pytest
from caravan.config.settings import Settings

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server

Serve = Callable[..., str]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def serve(engine: ScriptedEngine) -> Generator[Serve, None, None]:
    """Starts a server with options; the value is its address."""
    with contextlib.ExitStack() as servers:

        def start(**options: object) -> str:
            settings = Settings.model_validate({"shutdown_seconds": 0, **options})
            return servers.enter_context(live_server(registry_over(loaded_model(engine)), settings))

        yield start
