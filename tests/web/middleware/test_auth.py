"""Keys at the door, over the app and a real server."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from caravan.auth import keys_file
from caravan.auth.rate_limit import Quotas
from caravan.config.settings import Settings
from caravan.errors import OverloadedError
from caravan.web.app import create_app
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message

from tests.clock import Clock
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server
from tests.waiting import PATIENCE, wait_until

CHAT = "/v1/chat/completions"
BODY = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}

Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture(autouse=True)
def _no_time_passes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is used of a limit does not come back while a test looks at it."""
    monkeypatch.setattr(Quotas.__init__, "__defaults__", (clock,))


@pytest.fixture
def bearer(path: Path) -> Bearer:
    """Makes a key and gives the header that shows it."""

    def make(name: str, **fields: object) -> dict[str, str]:
        return {"Authorization": f"Bearer {keys_file.add(path, name=name, **fields)}"}

    return make


@pytest.fixture
def guarded(path: Path, engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    registry = registry_over(loaded_model(engine))
    app = create_app(Settings(data_dir=path.parent, cors_origins=["https://example.org"]), registry)
    with TestClient(app, raise_server_exceptions=False, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def test_without_keys_everybody_comes_in_and_with_the_first_nobody(
    guarded: TestClient, bearer: Bearer
) -> None:
    assert guarded.post(CHAT, json=BODY).status_code == 200
    alice = bearer("alice")
    refused = guarded.post(CHAT, json=BODY)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert guarded.post(CHAT, json=BODY, headers=alice).status_code == 200
    token = alice["Authorization"].removeprefix("Bearer ")
    assert guarded.post(CHAT, json=BODY, headers={"x-api-key": token}).status_code == 200


def test_a_revoked_key_is_out_at_once(guarded: TestClient, bearer: Bearer, path: Path) -> None:
    alice = bearer("alice")
    bearer("bob")
    assert guarded.get("/v1/models", headers=alice).status_code == 200
    keys_file.revoke(path, "alice")
    assert guarded.get("/v1/models", headers=alice).status_code == 401


@pytest.mark.parametrize("end", ["revoke", "delete"])
def test_the_end_of_the_last_key_opens_nothing(
    guarded: TestClient, bearer: Bearer, path: Path, end: str
) -> None:
    alice = bearer("alice")
    assert guarded.post(CHAT, json=BODY, headers=alice).status_code == 200
    keys_file.revoke(path, "alice") if end == "revoke" else path.unlink()
    for headers in ({}, alice):
        assert guarded.post(CHAT, json=BODY, headers=headers).status_code == 401
    assert guarded.get("/health").status_code == 200
    assert guarded.post(CHAT, json=BODY, headers=bearer("bob")).status_code == 200


def test_a_word_of_the_operator_asks_nobody(path: Path, bearer: Bearer) -> None:
    alice = bearer("alice")
    registry = registry_over(loaded_model())
    with TestClient(
        create_app(Settings(keys_file=path, auth=False), registry), base_url="http://localhost"
    ) as client:
        for headers in ({}, alice, {"Authorization": "Bearer wrong"}):
            assert client.get("/v1/models", headers=headers).status_code == 200


def test_a_later_key_of_the_same_name_finds_nothing_of_the_first(
    guarded: TestClient, bearer: Bearer, path: Path, engine: ScriptedEngine
) -> None:
    """Stored responses, prefixes in memory, turns in the queue and what is used of the limits."""
    first = bearer("alice", requests_per_minute=1)
    made = guarded.post("/v1/responses", json={"model": "fake", "input": "Hi"}, headers=first).json()
    assert guarded.get(f"/v1/responses/{made['id']}", headers=first).status_code == 200
    keys_file.revoke(path, "alice")
    second = bearer("alice", requests_per_minute=1)
    for method, rest in (("GET", ""), ("GET", "/input_items"), ("DELETE", ""), ("POST", "/cancel")):
        answer = guarded.request(method, f"/v1/responses/{made['id']}{rest}", headers=second)
        assert answer.status_code == 404
    assert guarded.post(CHAT, json=BODY, headers=second).status_code == 200
    before, after = engine.requests
    assert before.owner != after.owner
    assert before.cache_salt != after.cache_salt


def test_every_route_but_the_probes_is_guarded(guarded: TestClient, bearer: Bearer) -> None:
    bearer("alice")
    described = create_app(Settings(), registry_over(loaded_model())).openapi()["paths"]
    paths = sorted({*described, "/docs", "/openapi.json", "/v1/nothing"})
    open_paths = [path for path in paths if guarded.get(path).status_code != 401]
    # The page and the viewer, without what they show.
    assert open_paths == ["/", "/docs", "/health", "/ready"]


def test_what_is_for_administrators(guarded: TestClient, bearer: Bearer) -> None:
    alice, root = bearer("alice"), bearer("root", role="admin")
    assert guarded.get("/status", headers=alice).status_code == 403
    assert guarded.get("/status", headers=root).status_code == 200


def test_a_key_for_some_models_does_not_see_the_others(guarded: TestClient, bearer: Bearer) -> None:
    other, own = bearer("alice", models=["other"]), bearer("bob", models=["fake"])
    refused = guarded.post(CHAT, json=BODY, headers=other)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert "fake" not in refused.json()["error"]["message"].removeprefix("The model 'fake'")
    assert guarded.get("/v1/models", headers=other).json()["data"] == []
    assert guarded.post(CHAT, json=BODY, headers=own).status_code == 200


def test_a_key_that_may_use_no_model_is_told_so(guarded: TestClient, bearer: Bearer) -> None:
    headers = bearer("alice", models=["other"])
    for body in (BODY, {"messages": BODY["messages"]}):
        refused = guarded.post(CHAT, json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
        assert "This key may use none of the models." in refused.json()["error"]["message"]


def test_metrics_tell_a_key_of_its_models_alone(guarded: TestClient, bearer: Bearer) -> None:
    """And no user's key of what all keys have sent together, nor of names that others gave to fields."""
    names = {
        "other": bearer("alice", models=["other"]),
        "own": bearer("bob", models=["org/other-name"]),
        "all": bearer("carol"),
        "root": bearer("root", role="admin"),
    }
    guarded.post(CHAT, json={**BODY, "a_word_of_bobs": 1}, headers=names["own"])
    guarded.post(CHAT, json={**BODY, "temperature": -1}, headers=names["own"])
    told = {name: guarded.get("/metrics", headers=headers).text for name, headers in names.items()}
    assert {name for name, text in told.items() if 'model="fake"' in text} == {"own", "all", "root"}
    assert {name for name, text in told.items() if "a_word_of_bobs" in text} == {"root"}
    series = {name: set(re.findall(r"^(caravan_\w+?){(.*)} ", text, re.M)) for name, text in told.items()}
    assert series["other"] == set()
    assert all('model="fake"' in labels for name in ("own", "all") for _, labels in series[name])
    of_server = {name for name, labels in series["root"] if 'model="fake"' not in labels}
    assert of_server == {
        "caravan_http_requests_total",
        "caravan_http_requests_created",
        "caravan_http_errors_total",
        "caravan_http_errors_created",
        "caravan_ignored_fields_total",
        "caravan_ignored_fields_created",
        "caravan_memory_bytes",
    }
    assert not any(
        name.removesuffix("_total") in told["all"] for name in of_server - {"caravan_memory_bytes"}
    )
    status = guarded.get("/status", headers=bearer("some", role="admin", models=["other"])).json()
    assert status["models"] == []


def test_limits_answer_429_with_advice_and_headers(guarded: TestClient, bearer: Bearer) -> None:
    alice, bob = bearer("alice", requests_per_minute=1), bearer("bob", tokens_per_minute=1)
    first = guarded.post(CHAT, json=BODY, headers=alice)
    second = guarded.post(CHAT, json=BODY, headers=alice)
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    for answer, status in ((first, 200), (second, 429)):
        told = {name: text for name, text in answer.headers.items() if name.startswith("x-ratelimit")}
        assert answer.status_code == status
        assert re.fullmatch(r"1m0s|\d+s", told.pop("x-ratelimit-reset-requests"))
        assert told == {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0"}
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert guarded.get("/v1/models", headers=alice).status_code == 200, "only work counts"
    assert guarded.post(CHAT, json=BODY, headers=bob).status_code == 200
    spent = guarded.post(CHAT, json=BODY, headers=bob)
    assert spent.status_code == 429, "the first answer used them up"
    assert spent.headers["x-ratelimit-remaining-tokens"] == "0"
    assert int(spent.headers["retry-after"]) >= 60


EMBEDDINGS = "/v1/embeddings"
TEXTS = "/v1/completions"


def left(headers: Mapping[str, str]) -> int:
    return int(headers["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (CHAT, {**BODY, "max_tokens": 300}),
        (CHAT, {**BODY, "max_tokens": 150, "n": 2, "stream": True}),
        (TEXTS, {"model": "fake", "prompt": ["one", "two", "three"], "max_tokens": 100}),
        ("/v1/responses", {"model": "fake", "input": "Hi", "max_output_tokens": 300, "store": False}),
        ("/v1/responses", {"model": "fake", "input": "Hi", "max_output_tokens": 300, "background": True}),
        (CHAT, BODY),
    ],
)
def test_a_burst_cannot_use_tokens_that_are_not_there(
    path: Path,
    bearer: Bearer,
    engine: ScriptedEngine,
    url: str,
    body: dict[str, object],
) -> None:
    """Twenty at once, each of some hundred tokens, under a limit of a thousand."""
    alice = bearer("alice", tokens_per_minute=1000)
    engine.hold_after = 0
    engine.context_size = 8192 if url == CHAT and "max_tokens" not in body else 1024
    settings = Settings(keys_file=path, shutdown_seconds=0, responses_db=Path("memory"))
    with (
        live_server(registry_over(loaded_model(engine)), settings) as address,
        ThreadPoolExecutor(20) as pool,
    ):
        asked = [
            pool.submit(httpx.post, address + url, json=body, headers=alice, timeout=PATIENCE)
            for _ in range(20)
        ]
        try:
            wait_until(lambda: sum(f.done() and f.result().status_code == 429 for f in asked) >= 16)
            assert len(engine.requests) <= 3 * 3
        finally:
            engine.hold_after = None
        answers = [future.result() for future in asked]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "x-ratelimit-remaining-tokens" in refused.headers
    assert int(refused.headers["retry-after"]) >= 1


def test_what_a_request_has_not_used_is_given_back(
    guarded: TestClient, bearer: Bearer, engine: ScriptedEngine
) -> None:
    alice = bearer("alice", tokens_per_minute=600)
    first = guarded.post(CHAT, json={**BODY, "max_tokens": 400}, headers=alice)
    used = first.json()["usage"]["total_tokens"]
    assert 600 - used <= left(first.headers) <= 600 - used + 10, "it is there again when the answer is"
    second = guarded.post(EMBEDDINGS, json={"model": "fake", "input": "x" * 100}, headers=alice)
    assert 600 - used - 100 - 2 <= left(second.headers) <= 600 - used - 100 + 10
    before = left(second.headers)
    engine.failure = OverloadedError("Too many requests wait.", retry_after=5)
    for url, body in (
        (CHAT, {**BODY, "max_tokens": 300}),
        (TEXTS, {"model": "fake", "prompt": "x" * 200, "max_tokens": 50}),
    ):
        assert guarded.post(url, json=body, headers=alice).status_code == 503
    assert guarded.post(CHAT, json={**BODY, "temperature": -1}, headers=alice).status_code == 400
    engine.failure = None
    last = guarded.post(EMBEDDINGS, json={"model": "fake", "input": "x"}, headers=alice)
    assert left(last.headers) >= before - 1, "what was refused or failed by the server costs no tokens"


def test_requests_refused_at_the_door_are_counted_where_they_knocked(
    guarded: TestClient, bearer: Bearer
) -> None:
    alice = bearer("alice", requests_per_minute=1)
    for _ in range(2):
        guarded.post(CHAT, json=BODY, headers=alice)
    for number in range(3):
        guarded.get(f"/v1/models/{number}")
        guarded.get(f"/v1/nothing/{number}")
        guarded.request(f"NOTHING{number}", CHAT)
    told = guarded.get("/metrics", headers=bearer("root", role="admin")).text
    counts = dict(re.findall(r"^caravan_http_requests_total{(.+)} (\d+)", told, re.MULTILINE))
    assert counts == {
        f'method="POST",route="{CHAT}",status="200"': "1",
        f'method="POST",route="{CHAT}",status="429"': "1",
        'method="GET",route="/v1/models/{model_id:path}",status="401"': "3",
        'method="GET",route="other",status="401"': "3",
        f'method="other",route="{CHAT}",status="401"': "3",
    }


def test_keys_do_not_share_prefixes_unless_they_are_in_one_group(
    guarded: TestClient, bearer: Bearer, engine: ScriptedEngine
) -> None:
    headers = [bearer("a"), bearer("b"), bearer("c", cache_group="a"), bearer("d", cache_group="a")]
    for header in headers:
        guarded.post(CHAT, json=BODY, headers=header)
    salts = [request.cache_salt for request in engine.requests]
    assert len(set(salts[:3])) == 3
    assert salts[2] == salts[3]


def test_place_in_the_queue_is_the_keys(guarded: TestClient, bearer: Bearer, engine: ScriptedEngine) -> None:
    guarded.post(CHAT, json=BODY, headers=bearer("alice", priority=5, weight=2.5))
    (request,) = engine.requests
    assert request.owner
    assert (request.priority, request.weight) == (5, 2.5)


QUESTION = {"type": "predicate", "name": "a", "instructions": "b"}
ASKED = [
    (CHAT, BODY),
    ("/v1/completions", {"model": "fake", "prompt": "Hi"}),
    ("/v1/responses", {"model": "fake", "input": "Hi"}),
    ("/v1/responses/compact", {"model": "fake", "input": "Hi"}),
    ("/v1/messages", {**BODY, "max_tokens": 9}),
    ("/v1/embeddings", {"model": "fake", "input": "Hi"}),
    ("/embedding", {"model": "fake", "content": "Hi"}),
    ("/api/chat", BODY),
    ("/api/generate", {"model": "fake", "prompt": "Hi"}),
    ("/api/generate", {"model": "fake", "prompt": "Hi", "raw": True}),
    ("/api/embed", {"model": "fake", "input": "Hi"}),
    ("/api/embeddings", {"model": "fake", "prompt": "Hi"}),
    ("/v1/decoding/explain", {"model": "fake", "prompt": "Hi"}),
    ("/v1/rerank", {"model": "fake", "query": "x", "documents": ["y"]}),
    ("/v1/score", {"model": "fake", "text_1": "x", "text_2": "y"}),
    (
        "/v1/decisions",
        {
            "model": "fake",
            "input": "x",
            "questions": [{"type": "predicate", "name": "a", "instructions": "b"}],
        },
    ),
]


@pytest.mark.parametrize(("url", "body"), ASKED, ids=lambda each: each if isinstance(each, str) else "")
def test_a_request_asks_for_a_priority_within_what_its_key_may(
    guarded: TestClient, bearer: Bearer, engine: ScriptedEngine, url: str, body: dict[str, object]
) -> None:
    engine.context_size = 2048
    plain, urgent = bearer("alice", priority=5), bearer("bob", priority=5, max_priority=7)
    for headers, asked, given in ((plain, 0, 5), (plain, 9, -4), (urgent, -2, 7), (urgent, None, 5)):
        response = guarded.post(url, json={**body, "priority": asked}, headers=headers)
        assert response.status_code == 200, response.text
        last = engine.embedded[-1] if engine.embedded else engine.requests[-1]
        assert last.priority == given
    before = len(engine.requests + engine.embedded)
    for headers, asked in ((plain, -1), (urgent, -3)):
        refused = guarded.post(url, json={**body, "priority": asked}, headers=headers)
        assert refused.status_code == 400
        assert "'priority' must be at least" in refused.text
    assert len(engine.requests + engine.embedded) == before


@pytest.mark.parametrize("limit", [0, 3])
def test_without_keys_the_operator_says_how_far_requests_may_rise(
    path: Path, engine: ScriptedEngine, limit: int
) -> None:
    registry = registry_over(loaded_model(engine))
    app = create_app(Settings(data_dir=path.parent, max_priority=limit), registry)
    with TestClient(app, base_url="http://localhost") as client:
        for asked in (8, -limit):
            assert client.post(CHAT, json={**BODY, "priority": asked}).status_code == 200
            assert engine.requests[-1].priority == -asked
        refused = client.post(CHAT, json={**BODY, "priority": -limit - 1})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "priority")


def test_pages_of_named_origins_may_call(guarded: TestClient, bearer: Bearer) -> None:
    bearer("alice")
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    known = guarded.options(CHAT, headers={"origin": "https://example.org", **asks})
    refused = guarded.post(CHAT, json=BODY, headers={"origin": "https://example.org"})
    assert "x-ratelimit-reset-tokens" in refused.headers["access-control-expose-headers"]
    assert known.headers["access-control-allow-origin"] == "https://example.org"
    other = guarded.options(CHAT, headers={"origin": "https://example.com", **asks})
    assert "access-control-allow-origin" not in other.headers


def test_no_page_may_call_by_default(client: TestClient) -> None:
    response = client.post(CHAT, json=BODY, headers={"origin": "https://example.org"})
    assert "access-control-allow-origin" not in response.headers


def test_streams_count_as_running_until_they_end(path: Path, bearer: Bearer, engine: ScriptedEngine) -> None:
    alice = bearer("alice", concurrent_requests=1)
    engine.hold_after = 1
    with live_server(
        registry_over(loaded_model(engine)), Settings(keys_file=path, shutdown_seconds=0)
    ) as address:
        with httpx.stream("POST", address + CHAT, json={**BODY, "stream": True}, headers=alice) as response:
            lines = response.iter_lines()
            next(line for line in lines if "prompt of" in line)
            second = httpx.post(address + CHAT, json=BODY, headers=alice)
            assert second.json()["error"]["code"] == "concurrency_limit_exceeded"
        engine.hold_after = None
        wait_until(lambda: httpx.post(address + CHAT, json=BODY, headers=alice).status_code == 200)


def test_where_other_machines_come_in_the_last_key_does_not_open_the_door(path: Path) -> None:
    registry = registry_over(loaded_model())
    with TestClient(
        create_app(Settings(keys_file=path, host="0.0.0.0"), registry), base_url="http://localhost"
    ) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/health").status_code == 200


def test_the_log_says_whose_request_was_one_too_many(
    guarded: TestClient, bearer: Bearer, caplog: pytest.LogCaptureFixture
) -> None:
    alice = bearer("alice", requests_per_minute=1)
    with caplog.at_level(logging.INFO, "caravan.requests"):
        told = [guarded.post(CHAT, json=BODY, headers=alice).status_code for _ in range(2)]
    assert told == [200, 429]
    assert "key=alice error=rate_limit_exceeded" in caplog.text


ENDS = (b"data: [DONE]", b"event: response.completed", b'"status":"completed"', b'"object":"chat.completion"')


async def asked(
    app: ASGIApp, url: str, body: Mapping[str, object], headers: Mapping[str, str], more: int
) -> int:
    """The status of a request that is followed by `more`, each from within the last message of the one before
    it: as early as any client can ask again.
    """
    status = 0
    messages = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status, more
        status = max(status, message.get("status", 0))
        if more and any(end in message.get("body", b"") for end in ENDS):
            rest, more = more - 1, 0
            status = max(status, await asked(app, url, body, headers, rest))

    head = [
        (name.lower().encode(), value.encode()) for name, value in {**headers, "host": "localhost"}.items()
    ]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": url, "raw_path": url.encode()}
    scope |= {"query_string": b"", "headers": head, "scheme": "http", "server": ("localhost", 80)}
    await app({**scope, "client": ("127.0.0.1", 1), "asgi": {"version": "3.0"}}, receive, send)
    return status


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("url", [CHAT, "/v1/responses"])
def test_whoever_has_read_an_answer_to_its_end_may_ask_again_at_once(
    guarded: TestClient, bearer: Bearer, url: str, stream: bool
) -> None:
    alice = bearer("alice", concurrent_requests=1, tokens_per_minute=1000)
    body = {"model": "fake", "stream": stream, "max_tokens": 400, "messages": BODY["messages"]}
    if url != CHAT:
        body = {"model": "fake", "stream": stream, "max_output_tokens": 400, "input": "Hi"}
    assert guarded.portal is not None
    assert guarded.portal.call(asked, guarded.app, url, body, alice, 3) == 200
