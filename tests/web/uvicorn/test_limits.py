"""What a client may take of a real server before and between its requests, sent byte by byte."""

import contextlib
import json
import socket
import time

import httpx
import pytest
from caravan.web.uvicorn import connection as connection_module
from caravan.web.uvicorn.parser import MAX_HEADERS

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.raw import connection, head, read_answer, read_to_end

TEXT = "/v1/completions"
BODY = json.dumps({"model": "fake", "prompt": "Hi"}).encode()
LENGTH = f"content-length: {len(BODY)}"
# A time that runs out in the test, and is long enough for what is sent at once on a busy machine.
SHORT = 0.6


def is_served(address: str) -> bool:
    """Whether somebody else's request is answered, with its own words."""
    answer = httpx.post(address + TEXT, content=BODY)
    return answer.status_code == 200 and "prompt of" in answer.text


def takes(opened: socket.socket, data: bytes) -> bool:
    """Whether the server still takes what is sent."""
    try:
        opened.sendall(data)
    except ConnectionError:
        return False
    return True


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


HEADS = {
    "a long line": head("/v1/models?" + "x" * 70_000, method="GET"),
    "a long header": head("/v1/models", "x-long: " + "x" * 70_000, method="GET"),
    "many headers": head("/v1/models", *(f"x-{n}: 1" for n in range(MAX_HEADERS)), method="GET"),
    "without an end": b"GET /v1/models HTTP/1.1\r\nx-long: " + b"x" * 70_000,
}


@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS)
def test_large_heads_are_a_431(serve: Serve, sent: bytes) -> None:
    address = serve()
    with connection(address) as opened:
        opened.sendall(sent)
        answer = read_answer(opened)
        assert (answer.status, answer.error.code) == (431, "request_head_too_large")
        assert answer.error.type == "invalid_request_error"
        assert answer.headers["connection"] == "close"
        assert read_to_end(opened) == b""
    assert is_served(address)
    assert (
        'caravan_http_errors_total{code="request_head_too_large"} 1.0' in httpx.get(f"{address}/metrics").text
    )


def test_heads_within_the_limits_pass(serve: Serve) -> None:
    with connection(serve()) as opened:
        opened.sendall(head("/v1/models?" + "x" * 60_000, *(f"x-{n}: 1" for n in range(200)), method="GET"))
        assert read_answer(opened).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (head(TEXT, "content-length: x"), 400),
        (head(TEXT, "transfer-encoding: gzip"), 501),
        (head(TEXT, "transfer-encoding: chunked") + b"nonsense\r\n", 400),
    ],
    ids=["TLS", "words", "no host", "a length of x", "an encoding", "a chunk of nonsense"],
)
def test_what_is_no_http_is_told_so(serve: Serve, sent: bytes, status: int) -> None:
    address = serve()
    with connection(address) as opened:
        opened.sendall(sent)
        answer = read_answer(opened)
        assert (answer.status, answer.error.code) == (status, "invalid_http")
        assert read_to_end(opened) == b""
    assert is_served(address)


@pytest.mark.parametrize("begun", [b"P", b"POST /v1/comp", head(TEXT, LENGTH)[:-2]])
def test_slow_heads_are_a_408(serve: Serve, begun: bytes) -> None:
    address = serve(head_seconds=SHORT)
    with connection(address) as opened:
        opened.sendall(begun)
        answer = read_answer(opened)
        assert (answer.status, answer.error.code) == (408, "request_timeout")
        assert f"{SHORT} seconds" in answer.error.message
        assert read_to_end(opened) == b""
    assert is_served(address)


def test_heads_that_drip_are_as_slow(serve: Serve) -> None:
    """Each byte is news, but the time is that of the whole head, on a used connection, too."""
    with connection(serve(head_seconds=3 * SHORT)) as opened:
        opened.sendall(head(TEXT, LENGTH) + BODY)
        assert read_answer(opened).status == 200
        opened.settimeout(0.01)
        received = b""
        with contextlib.suppress(ConnectionError):
            for byte in head(TEXT, *["x: y"] * 1000):
                opened.sendall(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if data := opened.recv(65536):
                        received += data
                    else:
                        break
        assert received.startswith(b"HTTP/1.1 408 ")


def test_who_says_nothing_is_let_go_without_a_word(serve: Serve) -> None:
    with connection(serve(head_seconds=0.05)) as opened:
        assert read_to_end(opened) == b""


def test_connections_are_kept_between_requests_for_a_while(serve: Serve) -> None:
    with connection(serve()) as opened:
        for _ in range(2):
            opened.sendall(head(TEXT, LENGTH) + BODY)
            assert read_answer(opened).status == 200
    with connection(serve(idle_seconds=0.05, head_seconds=60)) as opened:
        opened.sendall(head(TEXT, LENGTH) + BODY)
        assert read_answer(opened).status == 200
        assert read_to_end(opened) == b""


@pytest.mark.parametrize("field", [LENGTH, "transfer-encoding: chunked"])
def test_slow_bodies_are_a_408(serve: Serve, field: str) -> None:
    address = serve(body_seconds=SHORT)
    with connection(address) as opened:
        opened.sendall(head(TEXT, field) + b"1\r\n")
        answer = read_answer(opened)
        assert (answer.status, answer.error.code) == (408, "request_timeout")
        assert is_served(address)


@pytest.mark.parametrize("announced", [True, False])
def test_large_bodies_are_a_413_while_they_are_sent(serve: Serve, announced: bool) -> None:
    address = serve(max_body_bytes=1000)
    with connection(address) as opened:
        if announced:
            opened.sendall(head(TEXT, "content-length: 1001"))
        else:
            opened.sendall(head(TEXT, "transfer-encoding: chunked") + chunks(*[b" " * 100] * 11))
        answer = read_answer(opened)
        assert (answer.status, answer.error.code) == (413, "request_too_large")
    assert is_served(address)


def test_a_body_of_chunks_within_the_limit_is_read(serve: Serve) -> None:
    with connection(serve(max_body_bytes=len(BODY))) as opened:
        opened.sendall(head(TEXT, "transfer-encoding: chunked"))
        for byte in BODY:
            opened.sendall(chunks(bytes([byte])))
        opened.sendall(b"0\r\n\r\n")
        assert read_answer(opened).status == 200


def test_who_goes_on_sending_after_the_answer_may_do_so_briefly(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve(max_body_bytes=10)
    with connection(address) as opened:
        opened.sendall(head(TEXT, LENGTH) + BODY[:20])
        assert read_answer(opened).status == 413
        opened.sendall(BODY[20:] + head("/v1/models", method="GET"))
        assert read_answer(opened).status == 200, "all of the body came, so the connection goes on"
        monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 1.0)
        # The rest of a body and the next request may come in one piece.
        opened.sendall(head(TEXT, LENGTH) + BODY[:20])
        assert read_answer(opened).status == 413
        opened.sendall(BODY[20:] + head("/v1/models", method="GET"))
        assert read_answer(opened).status == 200
        time.sleep(1.2)
        opened.sendall(head("/v1/models", method="GET"))
        assert read_answer(opened).status == 200, "and is not closed later as one whose body never came"
    monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 0.05)
    with connection(address) as opened:
        opened.sendall(head(TEXT, "transfer-encoding: chunked") + chunks(b" " * 20))
        assert read_answer(opened).status == 413
        wait_until(lambda: not takes(opened, chunks(b" ")))


def test_many_silent_connections_are_in_nobodys_way(serve: Serve) -> None:
    address = serve(max_connections=8)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connection(address)) for _ in range(30)]
        for opened in silent[::2]:
            takes(opened, b"POST ")
        assert is_served(address)
        for opened in silent[:20]:
            with contextlib.suppress(ConnectionResetError):
                assert opened.recv(1) == b"", "the oldest have made room"


def test_where_all_connections_work_the_next_one_is_told_so(serve: Serve, engine: ScriptedEngine) -> None:
    address = serve(max_connections=2)
    engine.hold_after = 1
    wanted = {"model": "fake", "prompt": "Hi", "stream": True}
    with (
        httpx.stream("POST", address + TEXT, json=wanted) as first,
        httpx.stream("POST", address + TEXT, json=wanted) as second,
    ):
        streams = [stream.iter_lines() for stream in (first, second)]
        for stream in streams:
            next(stream)
        with connection(address) as opened:
            answer = read_answer(opened)
            assert (answer.status, answer.error.code) == (503, "overloaded")
            assert int(answer.headers["retry-after"]) >= 1
        engine.hold_after = None
        assert [list(stream)[-2:] for stream in streams] == [["data: [DONE]", ""]] * 2
    wait_until(lambda: can_connect(address))


def can_connect(address: str) -> bool:
    try:
        return is_served(address)
    except httpx.TransportError:
        return False


def test_a_client_that_resets_its_connection_harms_nobody(serve: Serve) -> None:
    address = serve()
    for sent in (b"", b"POST ", head(TEXT, LENGTH), head(TEXT, LENGTH) + BODY):
        with connection(address) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            opened.sendall(sent)
    assert is_served(address)
