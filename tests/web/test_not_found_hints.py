"""Requests that reach no route are told where they were meant to go; HEAD and OPTIONS work everywhere."""

import json
from collections.abc import Generator

import httpx
import pytest
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan_schemas.errors import ErrorResponse
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(), registry_over(loaded_model()))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Generator[TestClient, None, None]:
    with TestClient(app, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(app.state.services.registry.start)
        yield client


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/chat/completions", CHAT),
        ("GET", "/models", "/v1/models"),
        ("GET", "/models/fake", "/v1/models/fake"),
        ("POST", "/responses", "/v1/responses"),
        ("POST", "/v1/v1/chat/completions", CHAT),
        ("POST", "/v1/chat/completions/", CHAT),
        ("POST", "//v1//chat/completions", CHAT),
        ("POST", "/openai/v1/chat/completions", CHAT),
        ("POST", "/api/v1/chat/completions", CHAT),
        ("POST", "/V1/Chat/Completions", CHAT),
        ("POST", "/v1/chat/completion", CHAT),
        ("POST", "/chat/completion", CHAT),
        ("POST", "/v1/embedding", "/v1/embeddings"),
        ("GET", "/v1/models/", "/v1/models"),
        ("GET", "/v1/ready", "/ready"),
        ("GET", "/v1/metrics", "/metrics"),
        ("GET", "/metrics/", "/metrics"),
        ("POST", "/v1/completion", "/v1/completions"),
        ("POST", "/proxy/completion", "/completion"),
        ("HEAD", "/models", "/v1/models"),
    ],
)
def test_the_address_that_was_meant_is_told(client: TestClient, method: str, path: str, meant: str) -> None:
    answer = client.request(method, f"http://localhost{path}")
    assert answer.status_code == 404
    if method != "HEAD":
        message = ErrorResponse.model_validate_json(answer.content).error.message
        assert message.endswith(f" Did you mean {meant}?")


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v2", "/favicon.ico", "/v1/audio/speech", "/" + "x/" * 20_000]
)
def test_who_is_far_off_is_told_where_the_map_is(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    message = ErrorResponse.model_validate_json(answer.content).error.message
    assert message.endswith(" The API is under /v1; /docs lists the routes.")
    assert len(message) < 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/completions", "POST"),
        ("HEAD", "/v1/completions", "POST"),
        ("PUT", CHAT, "GET, HEAD, POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("POST", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
        ("BREW", "/v1/responses/resp_1/cancel", "POST"),
    ],
)
def test_the_methods_of_all_routes_of_an_address_are_told(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    options = client.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allowed, b"")


def test_head_has_the_head_of_get_on_every_route(client: TestClient) -> None:
    documented = client.get("/openapi.json").json()["paths"]
    paths = [path for path, operations in documented.items() if "get" in operations]
    assert {"/v1/models", "/v1/models/{model_id}", "/health", "/ready", "/metrics", "/status"} <= set(paths)
    kept = client.post("/v1/responses", json={"model": "fake", "input": "Hi"}).json()["id"]
    asked = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], "store": True}
    chat = client.post(CHAT, json=asked).json()["id"]
    items = [{"role": "user", "content": "Hi", "id": "msg_1"}]
    conversation = client.post("/v1/conversations", json={"items": items}).json()["id"]
    ids = {"completion_id": chat, "conversation_id": conversation, "item_id": "msg_1"}
    ids |= {"file_id": "file-1", "batch_id": "batch_1"}
    for path in [*paths, "/docs", "/openapi.json"]:
        path = path.format(response_id=kept, model_id="fake", **ids)
        get, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        for name in ("content-type", "content-length"):
            if path != "/metrics":
                assert head.headers.get(name) == get.headers.get(name)


@pytest.mark.parametrize("path", ["/v1/models/org/other-name", "/v1/models/org%2Fother-name"])
def test_slashes_in_the_names_of_models(client: TestClient, path: str) -> None:
    assert client.get(path).json()["id"] == "fake"


def test_head_of_a_stream_ends_with_the_head() -> None:
    engine = ScriptedEngine()
    asked = {"model": "fake", "input": "Hi", "background": True, "stream": True}
    with (
        live_server(registry_over(loaded_model(engine))) as address,
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
    ):
        engine.hold_after = 1
        with client.stream("POST", "/v1/responses", json=asked) as answer:
            first = next(line for line in answer.iter_lines() if line.startswith("data: "))
        kept = json.loads(first.removeprefix("data: "))["response"]["id"]
        head = client.head(f"/v1/responses/{kept}?stream=true")
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.get(f"/v1/responses/{kept}").json()["status"] == "in_progress"
        engine.hold_after = None
