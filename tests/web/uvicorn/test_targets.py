"""What stands in the first line of a request: whole addresses, escapes, and what is no address."""

import json

import pytest

from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.raw import connection, head, read_answer


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost/v1/models",
        "HTTP://user:word@localhost:80/v1/models",
        "https://localhost/v1/models?a=b",
        "/v1/models",
        "/v1%2Fmodels",
        "/v1/models/fak%65",
    ],
)
def test_whole_addresses_and_escapes_lead_to_the_route(serve: Serve, target: str) -> None:
    with connection(serve()) as opened:
        opened.sendall(head(target, method="GET"))
        answer = read_answer(opened)
    assert answer.status == 200
    assert "fake" in json.dumps(json.loads(answer.body))


@pytest.mark.parametrize(
    "target", ["*", "here:80", "http://localhost/x", "http://localhost/x?x", "/%ff%00%ED%A0%BD", "//"]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT", "POST"])
def test_what_leads_nowhere_is_a_404(serve: Serve, target: str, method: str) -> None:
    with connection(serve()) as opened:
        opened.sendall(head(target, "content-length: 0", method=method))
        answer = read_answer(opened)
    assert (answer.status, answer.error.code) == (404, "unknown_url")


def test_a_body_is_sent_when_the_server_is_ready(serve: Serve) -> None:
    body = b'{"model": "fake", "prompt": "Hi"}'
    with connection(serve()) as opened:
        opened.sendall(head("/v1/completions", f"content-length: {len(body)}", "expect: 100-continue"))
        assert opened.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(body)
        assert read_answer(opened).status == 200
