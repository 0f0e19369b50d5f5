"""An app over a scripted model that sees."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from caravan.config.settings import Settings
from fastapi.testclient import TestClient
from pydantic import ByteSize

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over
from tests.web.images import StandInEncoder, seeing


@pytest.fixture
def encoder() -> StandInEncoder:
    return StandInEncoder()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda _request, _index: ["It is ", "a cat."], context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine, encoder: StandInEncoder) -> Iterator[TestClient]:
    settings = Settings(responses_db=Path("memory"), max_image_bytes=ByteSize(64))
    with app_over(engine, model=seeing(engine, encoder), settings=settings) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(encoder: StandInEncoder, client: TestClient) -> Iterator[None]:
    """Embeddings are held by nobody once their requests have ended, however they ended."""
    assert client
    yield
    assert encoder.num_held == 0
