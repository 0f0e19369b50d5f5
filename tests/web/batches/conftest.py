"""A server over a scripted model, OpenAI's own client of it, and files of requests."""

import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import openai
import pytest
from caravan.config.settings import Settings
from openai.types import Batch

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import wait_until
from tests.web.chat_models import HERMES

CHAT = "/v1/chat/completions"
ENDED = ("failed", "completed", "expired", "cancelled")


def line(name: str, url: str = CHAT, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    """A line that asks for a chat, or whatever the fields say."""
    body = {"model": "fake", "messages": [{"role": "user", "content": f"I am {name}"}]}
    return {"custom_id": name, "method": "POST", "url": url, "body": fields or body}


def jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    """A file of them."""
    return "".join(f"{json.dumps(each)}\n" for each in lines).encode()


def begin(client: openai.OpenAI, lines: Iterable[dict[str, Any]], url: Any = CHAT, **fields: Any) -> Batch:  # noqa: ANN401
    """Upload lines and have them answered."""
    file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h", **fields)


def wait_for(client: openai.OpenAI, batch: Batch) -> Batch:
    """Return a batch that has ended."""
    wait_until(lambda: client.batches.retrieve(batch.id).status in ENDED)
    return client.batches.retrieve(batch.id)


def rows(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of a file of answers."""
    assert file_id is not None
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


@pytest.fixture
def engine() -> ScriptedEngine:
    """The model, which has a chat template."""
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """What the server is started with."""
    return {"data_dir": str(tmp_path / "data")}


@pytest.fixture
def live(engine: ScriptedEngine, options: dict[str, Any]) -> Generator[str, None, None]:
    """The server's address."""
    registry = registry_over(loaded_model(engine, template=HERMES))
    with live_server(registry, Settings.model_validate(options)) as address:
        yield address


@pytest.fixture
def client(live: str) -> Generator[openai.OpenAI, None, None]:
    """A client that does not try again."""
    with openai.OpenAI(base_url=f"{live}/v1", api_key="none", max_retries=0) as made:
        yield made
