"""An app over a scripted model with a chat template, as clients of Anthropic's API call it."""

from collections.abc import Generator

import pytest
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over


@pytest.fixture
def engine() -> ScriptedEngine:
    """A model whose tokens are bytes."""
    return ScriptedEngine(context_size=8192)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    """The app, called without a network."""
    with app_over(engine) as made:
        yield made
