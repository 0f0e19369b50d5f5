"""What has no effect passes and is told by header, log and counter; a strict server refuses it."""

import logging
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from caravan.config.settings import Settings
from caravan.observability.metrics import Metrics, View
from caravan.observability.request_metrics import RequestMetrics
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine
from tests.web.chat_models import app_over

Json = dict[str, Any]
HEADER = "x-caravan-ignored"
CHAT: Json = {"model": "fake", "messages": [{"role": "user", "content": "x"}]}
BODIES: list[tuple[str, Json]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/completions", {"model": "fake", "prompt": "x"}),
    ("/v1/responses", {"model": "fake", "input": "x"}),
    ("/v1/embeddings", {"model": "fake", "input": "x"}),
    (
        "/v1/decisions",
        {"model": "fake", "input": "x", "questions": [{"type": "predicate", "instructions": "y"}]},
    ),
    ("/v1/decoding/explain", {"model": "fake", "prompt": "x"}),
    ("/tokenize", {"model": "fake", "prompt": "x"}),
    ("/v1/tokenize", CHAT),
    ("/detokenize", {"model": "fake", "tokens": [65]}),
    ("/apply-template", CHAT),
]
FUNCTION = {"type": "function", "function": {"name": "f"}}
FLAT = {"type": "function", "name": "f"}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(context_size=4096)


@pytest.fixture
def client(engine: ScriptedEngine) -> Generator[TestClient, None, None]:
    with app_over(engine) as client:
        yield client


@pytest.fixture
def strict() -> Generator[TestClient, None, None]:
    with app_over(ScriptedEngine(context_size=4096), settings=Settings(strict_fields=True)) as client:
        yield client


@pytest.mark.parametrize(("url", "body"), BODIES, ids=[url for url, _ in BODIES])
def test_every_route_passes_and_tells_what_nobody_knows(
    client: TestClient, strict: TestClient, url: str, body: Json
) -> None:
    assert HEADER not in client.post(url, json=body).headers
    more = {**body, "x_notes": {"a": 1}, "x_y": [2]}
    answer = client.post(url, json=more)
    assert answer.status_code == 200, answer.text
    assert answer.headers[HEADER] == "x_notes, x_y"
    refused = strict.post(url, json=more)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x_notes")
    assert HEADER not in refused.headers
    assert strict.post(url, json=body).status_code == 200


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
def test_streams_tell_it_too_and_the_text_is_the_same(live: str, url: str) -> None:
    body = {**dict(BODIES)[url], "stream": True, "seed": 1}
    told, plain = (httpx.post(live + url, json={**body, **more}) for more in ({"client_x": 1}, {}))
    assert (told.headers[HEADER], told.status_code) == ("client_x", 200)
    assert HEADER not in plain.headers
    assert told.text.count("choice 0") == plain.text.count("choice 0") > 0


def test_errors_tell_it_too(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, "client_x": 1, "preset": "none"})
    assert (answer.status_code, answer.headers[HEADER]) == (400, "client_x")


def test_queries_are_read_the_same_way(client: TestClient, strict: TestClient) -> None:
    for asked in (client, strict):
        made = asked.post("/v1/responses", json={"model": "fake", "input": "x"}).json()["id"]
        for path in (f"/v1/responses/{made}", f"/v1/responses/{made}/input_items"):
            answer = asked.get(f"{path}?client_x=1&b[]=2")
            if asked is client:
                assert (answer.status_code, answer.headers[HEADER]) == (200, "client_x, b[]")
            else:
                assert (answer.status_code, answer.json()["error"]["param"]) == (400, "client_x")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\r\nset-cookie: b", "a%0D%0Aset-cookie:%20b"),
        ("ключ", "%D0%BA%D0%BB%D1%8E%D1%87"),
        ("a, b", "a%2C%20b"),
        ("\x00", "%00"),
        ("", '""'),
        ("x" * 150, "x" * 150),
    ],
)
def test_names_are_safe_in_the_header(client: TestClient, name: str, shown: str) -> None:
    answer = client.post("/v1/chat/completions", json={**CHAT, name: 1})
    assert (answer.status_code, answer.headers[HEADER]) == (200, shown)


def test_the_header_is_bounded(client: TestClient) -> None:
    names = {f"{number:03}{'z' * 90}": 1 for number in range(60)}
    told = client.post("/v1/chat/completions", json={**CHAT, **names}).headers[HEADER]
    assert len(told) < 1100
    assert told.endswith(" more")


def test_the_log_has_each_name_once(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            client.post("/v1/chat/completions", json={**CHAT, "client_x": 1, "client_y": number})
    lines = [entry.getMessage() for entry in caplog.records if "has no effect" in entry.getMessage()]
    assert [line.split("field ")[1].split(",")[0] for line in lines] == ["client_x", "client_y"]


def test_the_counter_tells_only_so_many_names_apart(client: TestClient) -> None:
    for _ in range(2):
        client.post("/v1/chat/completions", json={**CHAT, "client_x": 1})
    assert 'caravan_ignored_fields_total{field="client_x"} 2.0' in client.get("/metrics").text
    metrics = Metrics()
    for number in range(1000):
        RequestMetrics(metrics=metrics).ignore([f"name{number}"])
    text = metrics.render("", View())[0].decode()
    assert text.count("caravan_ignored_fields_total{") == 101
    assert 'caravan_ignored_fields_total{field="other"} 900.0' in text


OFFERED = [
    "web_search",
    "web_search_preview",
    "web_search_2025_08_26",
    "web_search_20250305",
    "file_search",
    "code_interpreter",
    "computer_use_preview",
    "image_generation",
    "local_shell",
    "mcp",
    "openrouter:web_search",
]


@pytest.mark.parametrize("kind", OFFERED)
def test_built_in_tools_that_are_merely_offered_are_left_out(
    client: TestClient, strict: TestClient, engine: ScriptedEngine, kind: str
) -> None:
    built_in = {"type": kind, "search_context_size": "low", "container": {"type": "auto"}}
    for url, body, function in ((*BODIES[0], FUNCTION), (*BODIES[2], FLAT)):
        engine.requests.clear()
        for tools in ([built_in], [built_in, function], [function], []):
            answer = client.post(url, json={**body, "tools": tools, "tool_choice": "auto"})
            assert answer.status_code == 200, answer.text
            assert answer.headers.get(HEADER) == (f"tools[].{kind}" if built_in in tools else None)
        alone, mixed, plain, none = (request.token_ids for request in engine.requests)
        assert (alone, mixed) == (none, plain)
        refused = strict.post(url, json={**body, "tools": [function, built_in]}).json()["error"]
        assert (refused["param"], refused["code"]) == ("tools[1]", "unsupported_parameter")


def test_a_response_shows_the_tools_that_it_has(client: TestClient) -> None:
    tools = [{"type": "web_search"}, FLAT]
    asked = {**dict(BODIES)["/v1/responses"], "tools": tools, "include": ["web_search_call.action.sources"]}
    answer = client.post("/v1/responses", json=asked)
    assert [tool["type"] for tool in answer.json()["tools"]] == ["function"]
    assert answer.headers[HEADER] == "tools[].web_search, include[].web_search_call.action.sources"


@pytest.mark.parametrize(
    ("url", "fields", "param"),
    [
        ("/v1/chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("/v1/responses", {"tool_choice": "required"}, "tool_choice"),
        ("/v1/chat/completions", {"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ("/v1/responses", {"tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        (
            "/v1/chat/completions",
            {
                "tools": [FUNCTION, {"type": "web_search"}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "web_search"}]},
                },
            },
            "tool_choice.allowed_tools.tools",
        ),
        (
            "/v1/responses",
            {
                "tools": [FLAT, {"type": "web_search"}],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
            },
            "tool_choice.tools",
        ),
    ],
)
def test_built_in_tools_that_must_be_called_are_refused(
    client: TestClient, url: str, fields: Json, param: str
) -> None:
    error = client.post(url, json={**dict(BODIES)[url], "tools": [{"type": "web_search"}], **fields}).json()[
        "error"
    ]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert f"'{param}'" in error["message"]


def test_places_of_tools_are_those_of_the_request(client: TestClient) -> None:
    tools = [{"type": "web_search"}, FUNCTION, FUNCTION]
    error = client.post("/v1/chat/completions", json={**CHAT, "tools": tools}).json()["error"]
    assert error["param"] == "tools[2].function.name"


def test_some_tools_may_be_allowed_beside_built_in_ones(client: TestClient) -> None:
    tools = [FUNCTION, {"type": "web_search"}]
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "web_search"}, FUNCTION]},
    }
    answer = client.post("/v1/chat/completions", json={**CHAT, "tools": tools, "tool_choice": choice})
    assert answer.status_code == 200
    assert answer.headers[HEADER] == "tools[].web_search, tool_choice.allowed_tools.tools[].web_search"
