"""Clients that do not read, or send too slowly: they lose their connections, and others go on."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from caravan.engine.params import GenerationRequest

from tests.fakes_web import ScriptedEngine
from tests.waiting import wait_until
from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.raw import connection, head, read_answer, read_to_end

TEXT = "/v1/completions"
PATIENT, SHORT = 60, 0.6
# A connection that is no older has just come, to the server.
_GRACE_SECONDS = 1.0
# More than the system keeps of an answer on its way.
NUM_PIECES, PIECE = 4000, "x" * 4000


def much(_request: GenerationRequest, _index: int) -> list[str]:
    return [PIECE] * NUM_PIECES


def asking(**fields: object) -> bytes:
    body = json.dumps({"model": "fake", "prompt": "Hi", "max_tokens": NUM_PIECES, **fields}).encode()
    return head(TEXT, f"content-length: {len(body)}") + body


@contextlib.contextmanager
def small_connection(address: str) -> Iterator[socket.socket]:
    """A connection whose client's system keeps little of what nobody reads."""
    url = urlsplit(address)
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened.settimeout(PATIENT)
        opened.connect((url.hostname, url.port))
        yield opened


def is_served(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v1/models").status_code == 200
    except httpx.TransportError:
        return False


def test_a_stream_that_nobody_reads_is_ended_and_its_work_with_it(
    serve: Serve, engine: ScriptedEngine
) -> None:
    engine.script = much
    address = serve(write_seconds=SHORT)
    with small_connection(address) as opened:
        opened.sendall(asking(stream=True))
        wait_until(lambda: len(engine.aborted) == 1)
        assert engine.running == set()
    assert 'caravan_http_errors_total{code="write_timeout"} 1.0' in httpx.get(f"{address}/metrics").text


def test_a_whole_answer_that_nobody_reads_is_let_go(serve: Serve, engine: ScriptedEngine) -> None:
    engine.script = much
    address = serve(write_seconds=SHORT)
    with small_connection(address) as opened:
        opened.sendall(asking())
        wait_until(lambda: "write_timeout" in httpx.get(f"{address}/metrics").text)


def test_who_reads_slowly_but_reads_gets_all(serve: Serve, engine: ScriptedEngine) -> None:
    """The whole takes several times what a client may let pass without reading."""
    engine.script = much
    address = serve(write_seconds=1.5)
    for _ in range(10):
        count, pause = _read_slowly(address, 5)
        if pause < 0.5:
            break
    else:
        pytest.skip("this process does not get its turn twice a second, so it cannot read slowly")
    assert count >= NUM_PIECES * len(PIECE)


def _read_slowly(address: str, seconds: float) -> tuple[int, float]:
    """Read an answer, so long 160 KB in each second, then its rest.

    How much of the text has come, and the longest time without reading.
    """
    received, pause = bytearray(), 0.0
    with small_connection(address) as opened, contextlib.suppress(ConnectionError):
        opened.sendall(asking())
        begun = last = time.monotonic()
        while len(received) <= NUM_PIECES * len(PIECE) and (data := opened.recv(1 << 20)):
            received += data
            pause, last = max(pause, time.monotonic() - last), time.monotonic()
            if last - begun < seconds:
                time.sleep(min(0.1, max(0.0, len(received) / 160_000 - (last - begun))))
    return received.count(PIECE[:1].encode()), pause


def test_readers_that_sleep_make_room_where_connections_are_few(serve: Serve, engine: ScriptedEngine) -> None:
    engine.script = much
    address = serve(max_connections=4, write_seconds=PATIENT)
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(small_connection(address)).sendall(asking(stream=True))
        # One that has not been read from yet would make room before it has a request.
        wait_until(lambda: len(engine.running) == 4)
        wait_until(lambda: is_served(address))
        wait_until(lambda: len(engine.aborted) >= 1)


def test_senders_that_are_slow_make_room_where_connections_are_few(serve: Serve) -> None:
    address = serve(max_connections=4, body_seconds=PATIENT)
    begun = asking()[:-5]
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection(address)) for _ in range(4)]
        for opened in slow:
            opened.sendall(begun)
        # By then their heads have been read; one whose head has not is closed without a word.
        time.sleep(_GRACE_SECONDS + 0.5)
        wait_until(lambda: is_served(address))
        answer = read_answer(slow[0])
        assert (answer.status, answer.error.code) == (503, "overloaded")
        assert answer.headers["connection"] == "close"
        # The others go on as if nothing had been.
        slow[3].sendall(asking()[-5:])
        assert read_answer(slow[3]).status == 200


def test_those_who_are_refused_do_not_stay(serve: Serve, engine: ScriptedEngine) -> None:
    """Each of them is told so, but the server keeps no more than a few open until they have read it."""
    engine.hold_after = 1
    address = serve(max_connections=1)
    with connection(address) as busy, contextlib.ExitStack() as stack:
        busy.sendall(asking(stream=True))
        wait_until(lambda: bool(engine.running))
        refused = [stack.enter_context(connection(address)) for _ in range(150)]
        for opened in refused[:-64]:
            with contextlib.suppress(ConnectionResetError):
                assert b"503" in read_to_end(opened)
        engine.hold_after = None


def test_bodies_that_come_slowly_make_room_for_others(serve: Serve) -> None:
    """Where the memory for bodies is used up by those who stopped sending, they are the ones to go."""
    address = serve(max_body_bytes=100_000, max_held_bytes=250_000, body_seconds=PATIENT)
    body = json.dumps({"model": "fake", "prompt": "Hi", "user": "x" * 90_000}).encode()
    sent = head(TEXT, f"content-length: {len(body)}") + body
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connection(address)) for _ in range(2)]
        for opened in slow:
            opened.sendall(sent[:-1])

        def is_answered() -> bool:
            answer = httpx.post(address + TEXT, content=body)
            assert answer.status_code in (200, 503), answer.text
            if answer.status_code == 503:
                assert answer.json()["error"]["code"] == "overloaded"
                assert int(answer.headers["retry-after"]) >= 1
            return answer.status_code == 200

        wait_until(is_answered)
        answer = read_answer(slow[0])
        assert (answer.status, answer.error.code) == (503, "overloaded")
        assert "slowly" in answer.error.message
