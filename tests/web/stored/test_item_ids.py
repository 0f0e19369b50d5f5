"""Ids that clients give to items of a conversation: each of them is a part of a path."""

from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from caravan.config.settings import Settings
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over

URL = "/v1/conversations"
ODD = ["a/b", ".", "..", "a b", "a\n", "\x00", "\x7f", "ä", "a" * 257, "a" * 100_000]


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine, settings=Settings(responses_db=Path("memory"))) as made:
        yield made


def item(**fields: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": "Hi", **fields}


@pytest.mark.parametrize("item_id", ODD, ids=lambda item_id: repr(item_id[:10]))
def test_ids_that_no_path_reaches_are_refused(client: TestClient, item_id: str) -> None:
    name = client.post(URL, json={}).json()["id"]
    named = [item(), item(id=item_id)]
    for path, body, param in (
        (URL, {"items": named}, "items"),
        (f"{URL}/{name}/items", {"items": named}, "items"),
        ("/v1/responses", {"model": "fake", "conversation": name, "input": named}, "input"),
    ):
        answer = client.post(path, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, f"{param}[1].id", "invalid_value")
        assert len(answer.content) < 1000
    assert client.get(f"{URL}/{name}/items").json()["data"] == []


@pytest.mark.parametrize("item_id", ["msg_1", "a:b=?c#d", "...", "a" * 256])
def test_ids_of_other_servers_are_reached(client: TestClient, item_id: str) -> None:
    name = client.post(URL, json={"items": [item(id=item_id)]}).json()["id"]
    path = f"{URL}/{name}/items/{quote(item_id, safe='')}"
    assert client.get(path).json()["id"] == item_id
    assert client.delete(path).status_code == 200
    assert client.get(path).status_code == 404
