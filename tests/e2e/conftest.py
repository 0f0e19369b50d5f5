"""A whole server in this process, engine child included, over a tiny model."""

from collections.abc import Generator
from dataclasses import dataclass

import httpx
import openai
import pytest
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.models import registry_of

from tests.conftest import TinyModels
from tests.e2e.asking import CHAT, TEXT, Asker
from tests.live_server import engine_of, live_server
from tests.waiting import PATIENCE


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running server: its address, its engine for a look inside, and OpenAI's own client for it."""

    address: str
    engine: AsyncEngine
    client: openai.OpenAI


@pytest.fixture(scope="module")
def context_size() -> int:
    """What the server of a module lets one text have."""
    return 512


@pytest.fixture(scope="module")
def served(tiny_models: TinyModels, context_size: int) -> Generator[Served, None, None]:
    """One server for a module. Its model babbles, but the same babble for the same question."""
    settings = Settings(model=tiny_models["qwen2"], model_id="tiny", context_size=context_size, threads=1)
    registry = registry_of(settings)
    with (
        live_server(registry, settings) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        yield Served(address=address, engine=engine_of(registry, "tiny"), client=client)


@pytest.fixture(scope="module")
def http(served: Served) -> Generator[httpx.Client, None, None]:
    """A plain client of the server."""
    with httpx.Client(base_url=served.address, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(
    params=[(route, stream) for route in (CHAT, TEXT) for stream in (False, True)],
    ids=["chat", "chat, streamed", "text", "text, streamed"],
)
def ask(http: httpx.Client, request: pytest.FixtureRequest) -> Asker:
    """Each route, whole and streamed."""
    route, stream = request.param
    return Asker(http, route, stream=stream)
