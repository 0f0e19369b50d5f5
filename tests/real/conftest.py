"""Live servers with the real models, each started when a suite first asks for it."""

from collections.abc import Iterator

import openai
import pytest

from tests.faults.process import ServerProcess
from tests.real.materials import GEMMA, MINILM, SMOLLM2
from tests.waiting import PATIENCE


class RealServer(ServerProcess):
    """`caravan serve` with one real model; `client` is OpenAI's own, without retries."""

    def __init__(self, model: str, *options: str) -> None:
        super().__init__("--model", model, "--threads", "1", *options)
        # Real models compute for long on a slow machine.
        self.client = openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=10 * PATIENCE)
        self.model = next(iter(self.client.models.list())).id


def _serve(path: str) -> Iterator[RealServer]:
    server = RealServer(path)
    yield server
    assert server.stop() == 0, server.output


@pytest.fixture(scope="session")
def smollm2() -> Iterator[RealServer]:
    """A small model for chats."""
    yield from _serve(str(SMOLLM2))


@pytest.fixture(scope="session")
def gemma() -> Iterator[RealServer]:
    """A base model with sliding windows."""
    yield from _serve(str(GEMMA))


@pytest.fixture(scope="session")
def minilm() -> Iterator[RealServer]:
    """A sentence encoder."""
    yield from _serve(str(MINILM))
