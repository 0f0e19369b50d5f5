"""What browsers are told about answers: on every route, in every failure, and in what no route answers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.web.app import create_app
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.web.uvicorn.raw import connection, head, read_answer

CHAT = "/v1/chat/completions"
BODY = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}
WANTED = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Answer(Protocol):
    """What clients of either kind are given."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By names in any letters."""


def told(answer: Answer) -> dict[str, str]:
    """The values of these headers, all of them where there are several."""
    return {name: answer.headers.get(name, "") for name in WANTED}


def test_every_route_answers_with_them(client: TestClient) -> None:
    described = client.get("/openapi.json")
    assert told(described) == WANTED
    for path, operations in described.json()["paths"].items():
        for method in (*operations, "options", "head", "patch"):
            answer = client.request(method, path)
            assert told(answer) == WANTED, (method, path, answer.status_code)


@pytest.mark.parametrize(
    ("status", "path", "body", "headers"),
    [
        (200, CHAT, BODY, {}),
        (200, CHAT, {**BODY, "stream": True}, {}),
        (200, "/v1/responses", {"model": "fake", "input": "Hi", "stream": True}, {}),
        (400, CHAT, {**BODY, "temperature": -1}, {}),
        (403, CHAT, BODY, {"origin": "https://evil.example"}),
        (403, CHAT, BODY, {"host": "rebound.example"}),
        (404, "/v1/nothing", {}, {}),
        (413, CHAT, BODY, {"content-length": str(1 << 40)}),
        (415, CHAT, BODY, {"content-encoding": "br"}),
    ],
)
def test_answers_and_refusals(
    client: TestClient, status: int, path: str, body: object, headers: dict[str, str]
) -> None:
    answer = client.post(path, json=body, headers=headers)
    assert (answer.status_code, told(answer)) == (status, WANTED)


@pytest.mark.parametrize("failure", [ZeroDivisionError(), MemoryError()])
def test_faults_of_ours(client: TestClient, engine: ScriptedEngine, failure: Exception) -> None:
    engine.failure = failure
    answer = client.post(CHAT, json=BODY)
    assert answer.status_code >= 500
    assert told(answer) == WANTED


def test_those_without_a_key(tmp_path: Path) -> None:
    keys_file.add(tmp_path / "keys.json", name="alice")
    app = create_app(Settings(keys_file=tmp_path / "keys.json"), registry_over(loaded_model()))
    with TestClient(app, base_url="http://localhost") as client:
        for path in ("/v1/models", "/openapi.json", "/health"):
            assert told(client.get(path)) == WANTED


def test_the_viewer_has_a_policy_without_anything_inline_or_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    given = told(page)
    policy = dict(part.split(" ", 1) for part in given.pop("content-security-policy").split("; "))
    assert {**WANTED, **given} == {**WANTED, "cache-control": "no-cache"}
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {
        "'none'",
        "'self'",
        "data:",
    }
    assert not re.search(r"<style|<iframe|\sstyle=|\son\w+=|<script(?! src=)", page.text)


def test_over_the_wire_they_come_once_and_before_a_route_too(live: str) -> None:
    with connection(live) as opened:
        opened.sendall(head("/v1/models", "x-long: " + "x" * 70_000, method="GET"))
        refused = read_answer(opened)
    assert refused.status == 431
    assert {name: refused.headers[name] for name in WANTED} == WANTED
    with httpx.stream("POST", live + CHAT, json={**BODY, "stream": True}) as streamed:
        streamed.read()
        for name, value in WANTED.items():
            assert streamed.headers.get_list(name) == [value]
