"""Pages of other sites, in the words of a browser, and names that they have made point here."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from caravan.auth import keys_file
from caravan.config.settings import Settings
from caravan.web.app import create_app
from caravan_schemas.errors import ErrorResponse
from fastapi.testclient import TestClient

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.live_server import live_server

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "fake", "messages": [{"role": "user", "content": "Hi"}]})
PLAIN = {"content-type": "text/plain"}
ORIGIN = "origin_not_allowed"


@contextmanager
def app(engine: ScriptedEngine | None = None, **options: object) -> Generator[TestClient, None, None]:
    """The app, called as from its own machine."""
    registry = registry_over(loaded_model(engine))
    settings = Settings.model_validate(options)
    with TestClient(create_app(settings, registry), base_url="http://localhost:8000") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def code(client: TestClient, path: str = "/v1/models", method: str = "GET", **headers: str) -> str | None:
    """What a request is refused with, if it is."""
    content = BODY if method == "POST" else None
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = client.request(method, path, content=content, headers=named)
    if not answer.is_error:
        return None
    error: Any = answer.json()["error"]
    if isinstance(error, str):
        # Ollama's errors are a text.
        return ORIGIN if "origin" in error.lower() else error
    found: str = error["code"] if "code" in error else error["details"]["error_code"]
    return found


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost:3000",
        "http://localhost",
        "https://localhost:8000.evil",
    ],
)
def test_a_page_of_another_site_reaches_no_route(engine: ScriptedEngine, origin: str) -> None:
    """A form or `fetch` with a plain body needs no preflight, so only its origin tells."""
    with app(engine) as client:
        described = client.get("/openapi.json").json()["paths"]
        for path, operations in {**described, "/docs": {"get": {}}, "/v1/nothing": {"get": {}}}.items():
            for method in operations:
                found = code(client, path, method.upper(), origin=origin, **PLAIN)
                assert found == ORIGIN, (method, path)
        assert code(client, CHAT, "OPTIONS", origin=origin, access_control_request_method="POST")
        assert engine.requests == []


def test_this_servers_own_pages_and_programs_may_call() -> None:
    with app() as client:
        assert code(client, CHAT, "POST", origin="http://localhost:8000") is None
        assert code(client, CHAT, "POST", host="127.0.0.1", origin="http://127.0.0.1:80") is None
        # As it is called behind something that speaks TLS.
        assert code(client, CHAT, "POST", host="localhost", origin="https://localhost") is None
        assert code(client, CHAT, "POST", **PLAIN) is None


def test_pages_that_the_operator_names_may_call() -> None:
    with app(cors_origins=["https://chat.example.org", "app://notes"]) as client:
        for origin in ("https://chat.example.org", "app://notes"):
            assert code(client, CHAT, "POST", origin=origin) is None
        assert code(client, CHAT, "POST", origin="https://example.org") == ORIGIN
    with app(cors_origins=["*"]) as client:
        assert code(client, CHAT, "POST", origin="null") is None


def test_what_a_page_includes_without_an_origin_is_refused_and_links_are_followed() -> None:
    with app() as client:
        for site in ("cross-site", "same-site"):
            assert code(client, sec_fetch_site=site, sec_fetch_mode="no-cors") == ORIGIN
            assert client.get(
                "/docs", headers={"sec-fetch-site": site, "sec-fetch-mode": "navigate"}
            ).is_success
        assert code(client, sec_fetch_site="same-origin", sec_fetch_mode="cors") is None
        assert code(client, sec_fetch_site="none", sec_fetch_mode="navigate") is None


def test_a_name_that_was_made_to_point_here_is_refused() -> None:
    """The page at that name is of the same origin, so its browser would let it read the answer."""
    with app(allowed_hosts=["llm.example.org"]) as client:
        for path, method in (("/v1/models", "GET"), (CHAT, "POST"), ("/metrics", "GET"), ("/docs", "GET")):
            host, origin = "rebound.example:8000", "http://rebound.example:8000"
            assert code(client, path, method, host=host, origin=origin) == "host_not_allowed"
            assert code(client, path, method, host="LLM.example.org.:8000") is None
        answer = client.get("/v1/models", headers={"host": "rebound.example"})
        assert "--allowed-hosts rebound.example" in answer.json()["error"]["message"]
        assert client.get("/ready", headers={"host": "probe.example"}).is_success


def test_a_proxy_hides_no_name_that_was_made_to_point_at_it() -> None:
    """It may call this server by a name of its own, and tells the browser's in a header."""
    with app(allowed_hosts=["llm.example.org"]) as client:
        for name in ("x_forwarded_host", "x_original_host"):
            assert code(client, **{name: "rebound.example:3000"}) == "host_not_allowed"
            assert code(client, **{name: "localhost:3000, rebound.example"}) == "host_not_allowed"
            assert code(client, **{name: "llm.example.org"}) is None
            assert code(client, **{name: "localhost:3000"}) is None
        assert code(client, forwarded="for=127.0.0.1;host=rebound.example") == "host_not_allowed"
        assert code(client, forwarded='for=127.0.0.1;host="localhost:3000"') is None


def test_neighbours_of_a_server_that_lets_them_in_need_no_option() -> None:
    """By address, by the name of a container or of the network; a name of the public is listed or refused."""
    with app(host="0.0.0.0", allow_anonymous=True, allowed_hosts=["*.example.org"]) as client:
        for host in ("192.168.1.7:8000", "caravan:8000", "box.local", "llm.example.org"):
            assert code(client, CHAT, "POST", host=host) is None
        for host in ("rebound.example:8000", "192.168.1.7.rebound.example"):
            assert code(client, CHAT, "POST", host=host) == "host_not_allowed"


def test_where_a_key_is_needed_a_name_says_nothing(tmp_path: Path) -> None:
    token = keys_file.add(tmp_path / "keys.json", name="alice")
    with app(keys_file=tmp_path / "keys.json") as client:
        assert code(client, host="llm.example.org", authorization=f"Bearer {token}") is None
        assert code(client, host="llm.example.org") == "invalid_api_key"
        assert code(client, origin="https://evil.example", authorization=f"Bearer {token}") == ORIGIN


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("allowed_hosts", "https://llm.example.org"),
        ("allowed_hosts", "llm.example.org:8000"),
        ("allowed_hosts", "llm.*.org"),
        ("cors_origins", "https://example.org/"),
        ("cors_origins", "example.org"),
        ("cors_origins", "https://Example.org"),
        ("cors_origins", "https://*.example.org"),
        ("cors_origins", "https://example.org:*"),
        ("cors_origins", "https://example.org/chat"),
        ("cors_origins", "https://example.org?a"),
        ("cors_origins", "https://me@example.org"),
        ("cors_origins", "https://example.org:"),
        ("cors_origins", "https://example.org:70000"),
        ("cors_origins", "http://[::g]"),
        ("cors_origins", "https://exämple.org"),
    ],
)
def test_what_no_browser_sends_is_no_option(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=option):
        Settings.model_validate({option: [value]})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://good.example:443", "https://good.example"),
        ("http://good.example:80", "http://good.example"),
        ("https://good.example:80", "https://good.example:80"),
        ("http://good.example:08080", "http://good.example:8080"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
    ],
)
def test_origins_match_what_browsers_send(given: str, sent: str) -> None:
    with app(cors_origins=[given]) as client:
        answer = client.get("/v1/models", headers={"origin": sent})
        assert answer.headers["access-control-allow-origin"] == sent


class Preflight(NamedTuple):
    """An answer to a preflight; the code is of one that is refused."""

    status: int
    code: str | None
    headers: dict[str, str]


def preflight(client: TestClient, origin: str, method: str = "POST", **headers: str) -> Preflight:
    """What a browser is told that asks before it sends what a page wants."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    asked = {"origin": origin, "access-control-request-method": method, **named}
    answer = client.options(CHAT, headers=asked)
    refusal = ErrorResponse.model_validate_json(answer.content).error.code if answer.is_error else None
    return Preflight(answer.status_code, refusal, dict(answer.headers))


def test_refused_preflights_are_in_the_envelope() -> None:
    with app(cors_origins=["https://chat.example"]) as client:
        for method in ("GET", "HEAD", "POST", "DELETE"):
            assert preflight(client, "https://chat.example", method).status == 200
        answer = preflight(client, "https://chat.example", "PUT")
        assert (answer.status, answer.code) == (400, "method_not_allowed")
        assert answer.headers["access-control-allow-origin"] == "https://chat.example"
        assert answer.headers["content-type"] == "application/json"


def test_named_pages_may_call_into_a_private_network() -> None:
    asked = {"access_control_request_private_network": "true"}
    with app(cors_origins=["https://chat.example"]) as client:
        answer = preflight(client, "https://chat.example", **asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert preflight(client, "https://evil.example", **asked).code == ORIGIN
    with app(cors_origins=["*"]) as client:
        answer = preflight(client, "https://evil.example", **asked)
        assert (answer.status, answer.code) == (400, "private_network_not_allowed")
        assert "access-control-allow-private-network" not in answer.headers


def test_a_list_of_origins_changes_nothing_for_this_servers_own_pages() -> None:
    answers = []
    for origins in ([], ["https://chat.example"]):
        with app(cors_origins=origins) as client:
            answer = preflight(client, "http://localhost:8000")
            answers.append((answer.status, answer.headers["allow"]))
            assert code(client, CHAT, "POST", origin="http://localhost:8000") is None
    assert answers[0] == answers[1] == (204, "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("host", "origin", "is_let_in"),
    [
        ("localhost:{port}", None, True),
        ("localhost:{port}", "http://localhost:{port}", True),
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", True),
        ("[::1]:{port}", "http://[::1]:{port}", True),
        ("localhost:{port}", "http://127.0.0.1:{port}", False),
        ("localhost:{port}", "http://localhost:1", False),
        ("llm.example.org", "http://llm.example.org", False),
        ("localhost.example.org", "http://localhost.example.org", False),
        ("localhost:{port}", "https://chat.example.org", False),
        ("localhost:{port}", "null", False),
    ],
)
def test_without_keys_this_servers_own_page_on_this_machine_is_an_administrator(
    engine: ScriptedEngine, host: str, origin: str | None, *, is_let_in: bool
) -> None:
    """By a name that cannot be made to point here; not even pages that may call become one."""
    settings = Settings(
        allowed_hosts=["*"], cors_origins=["https://chat.example.org", "null"], shutdown_seconds=0
    )
    with live_server(registry_over(loaded_model(engine)), settings) as address:
        port = address.rpartition(":")[2]
        headers = {"host": host.format(port=port)}
        if origin is not None:
            headers["origin"] = origin.format(port=port)
        answers = [
            httpx.get(f"{address}/status", headers=headers),
            httpx.post(f"{address}/admin/models/fake/load", headers=headers),
        ]
        assert [answer.is_success for answer in answers] == [is_let_in, is_let_in]
        assert all(answer.status_code in (200, 403) for answer in answers)
