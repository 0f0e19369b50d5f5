"""An app that keeps responses in memory, over a scripted model with a chat template."""

from collections.abc import Generator

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over


@pytest.fixture
def engine() -> ScriptedEngine:
    """A model whose tokens are bytes."""
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> Generator[TestClient, None, None]:
    """The app, called without a network."""
    monkeypatch.setenv("CARAVAN_RESPONSES_DB", "memory")
    with app_over(engine) as made:
        yield made
