"""Streams of bytes that two programs on a way could cut into requests differently, sent to a real server."""

import contextlib

import httpx
import pytest

from tests.fakes_web import ScriptedEngine
from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.framings import BODY, CHUNK, CHUNKED, END, FRAMINGS, HIDDEN, TEXT, chunked, post
from tests.web.uvicorn.raw import connection, head, read_answer, read_to_end


@pytest.mark.parametrize("sent", FRAMINGS.values(), ids=FRAMINGS)
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_after_it_served(
    serve: Serve, engine: ScriptedEngine, sent: bytes
) -> None:
    address = serve()
    with connection(address) as opened:
        opened.sendall(sent + HIDDEN)
        answer = read_answer(opened)
        assert 400 <= answer.status <= 599
        assert answer.status != 500
        assert answer.error.code in ("invalid_http", "request_head_too_large")
        assert answer.headers["connection"] == "close"
        assert read_to_end(opened) == b""
    assert engine.requests == []
    assert httpx.post(address + TEXT, content=BODY).status_code == 200


def test_what_can_be_read_in_one_way_passes(serve: Serve, engine: ScriptedEngine) -> None:
    """Equal lengths are one, and extensions and trailers may be there (RFC 9112, 6.3, 7.1.1, 7.1.2)."""
    length = f"content-length: {len(BODY)}"
    sent = [
        post(length) + BODY,
        post(length, length) + BODY,
        post(f"content-length: {len(BODY)}, {len(BODY)}") + BODY,
        post("transfer-encoding: Chunked") + CHUNK + END,
        chunked(b"%X;name=value\r\n" % len(BODY)),
        chunked(b"00%x\r\n" % len(BODY)),
        post(CHUNKED) + CHUNK + b"0\r\nx-sum: 1\r\n\r\n",
        post(f"content-length:{len(BODY)}", "x-empty:") + BODY,
    ]
    with connection(serve()) as opened:
        for request in sent:
            opened.sendall(request)
            assert read_answer(opened).status == 200
    assert len(engine.requests) == len(sent)


@pytest.mark.parametrize("path", [TEXT, "/v1/models", "/nothing"])
def test_what_follows_a_body_that_was_not_wanted_is_no_request(serve: Serve, path: str) -> None:
    """The client has asked whether to send it, and does not say whether these bytes are it."""
    with connection(serve(api_key="secret")) as opened:
        opened.sendall(head(path, "content-length: 20", "expect: 100-continue"))
        answer = read_answer(opened)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        received = b""
        # The system resets a connection that is closed before all that was sent is read.
        with contextlib.suppress(ConnectionError):
            opened.sendall(head("/health", method="GET") * 2)
            received = read_to_end(opened)
        assert received == b""


def test_a_target_names_the_host_that_counts(serve: Serve) -> None:
    """A whole address beats the field (RFC 9112, 3.2.2), so what stands there is what is looked at."""
    address = serve()
    for target, status in (("http://evil.example/v1/models", 403), ("http://localhost/v1/models", 200)):
        with connection(address) as opened:
            opened.sendall(head(target, method="GET"))
            assert read_answer(opened).status == status
