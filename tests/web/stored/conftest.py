"""A server that keeps what it is given in memory, and OpenAI's own client of it."""

from collections.abc import Generator
from typing import Any

import openai
import pytest
from caravan.config.settings import Settings

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.web.chat_models import HERMES


@pytest.fixture
def engine() -> ScriptedEngine:
    """The model, which has a chat template."""
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def live(engine: ScriptedEngine) -> Generator[str, None, None]:
    """The server's address."""
    registry = registry_over(loaded_model(engine, template=HERMES))
    with live_server(registry, Settings.model_validate({"responses_db": "memory"})) as address:
        yield address


@pytest.fixture
def client(live: str) -> Generator[Any, None, None]:
    """A client that does not try again."""
    with openai.OpenAI(base_url=f"{live}/v1", api_key="none", max_retries=0) as made:
        yield made
