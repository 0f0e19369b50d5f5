"""Clients that close their sending side and wait for the answer, and others that are gone."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.raw import connection, head, read_to_end

TEXT = "/v1/completions"
MODELS = head("/v1/models", method="GET")


def request(**fields: object) -> bytes:
    body = json.dumps({"model": "fake", "prompt": "Hi", **fields}).encode()
    return head(TEXT, f"content-length: {len(body)}") + body


@contextlib.contextmanager
def asked(address: str, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which all is sent that will ever be."""
    with connection(address) as opened:
        opened.sendall(sent)
        opened.shutdown(socket.SHUT_WR)
        yield opened


@pytest.mark.parametrize(
    ("sent", "end"),
    [
        (request(), b"}"),
        (request(stream=True), b"data: [DONE]\n\n"),
        (MODELS, b"}"),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0"), b"}"),
    ],
    ids=["whole", "streamed", "list", "HTTP/1.0"],
)
def test_who_has_said_all_gets_the_answer_and_the_end(serve: Serve, sent: bytes, end: bytes) -> None:
    with asked(serve(), sent) as opened:
        received = read_to_end(opened)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.removesuffix(b"\r\n0\r\n\r\n").endswith(end)


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_may_take_long(serve: Serve, engine: ScriptedEngine, stream: bool) -> None:
    address = serve()
    engine.hold_after = int(stream)
    with asked(address, request(stream=stream)) as opened:
        received = opened.recv(65536)
        while b"100 Continue" not in received and b": are you there" not in received:
            received += opened.recv(65536)
        engine.hold_after = None
        received += read_to_end(opened)
    assert received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert b"prompt of" in received
    assert engine.aborted == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("has_said_so", [False, True])
@pytest.mark.parametrize(
    "more", [b"", b"x", b"\r\n", MODELS, request(), b"GET / HTTP/1.1\r\nhost: " + b"x" * 9000]
)
def test_who_is_gone_is_found_out(
    serve: Serve, engine: ScriptedEngine, stream: bool, has_said_so: bool, more: bytes
) -> None:
    """Also behind what was sent ahead."""
    address = serve()
    engine.hold_after = int(stream)
    with connection(address) as opened:
        opened.sendall(request(stream=stream))
        wait_until(lambda: bool(engine.running))
        opened.sendall(more)
        if has_said_so:
            opened.shutdown(socket.SHUT_WR)
    wait_until(lambda: len(engine.aborted) == 1)


def test_no_more_is_taken_ahead_than_a_head_may_have(serve: Serve, engine: ScriptedEngine) -> None:
    address = serve()
    engine.hold_after = 0
    with connection(address) as opened:
        opened.sendall(request())
        wait_until(lambda: bool(engine.running))
        opened.settimeout(1)
        with pytest.raises(TimeoutError):
            opened.sendall(b"x" * 2**26)
        engine.hold_after = None


def test_requests_sent_ahead_are_all_answered(serve: Serve) -> None:
    with asked(serve(), request() + MODELS + request()) as opened:
        received = read_to_end(opened)
    assert received.count(b"HTTP/1.1 200 ") == 3
    assert received.count(b"prompt of") == 2


@pytest.mark.parametrize("sent", [request()[:-1], MODELS[:-2], head(TEXT, "transfer-encoding: chunked")])
def test_half_a_request_is_told_so(serve: Serve, sent: bytes) -> None:
    with asked(serve(), sent) as opened:
        received = read_to_end(opened)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"ended before it was whole" in received


def test_silence_and_its_end_are_no_request(serve: Serve) -> None:
    with asked(serve(), b"") as opened:
        assert read_to_end(opened) == b""


def test_many_who_wait_are_answered_each_alone(serve: Serve, engine: ScriptedEngine) -> None:
    address = serve()
    engine.hold_after = 0
    received: list[bytes] = []

    def ask() -> None:
        with asked(address, request()) as opened:
            received.append(read_to_end(opened))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(engine.running) == 8)
    engine.hold_after = None
    for thread in threads:
        thread.join()
    assert [b"prompt of" in text for text in received] == [True] * 8
