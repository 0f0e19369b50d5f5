"""What strangers send that is no request: told in plain words, and not a line of the log for each."""

import logging

import pytest
from caravan.web.uvicorn.rare_lines import INVALID, UPGRADE, RareLines

from tests.web.uvicorn.conftest import Serve
from tests.web.uvicorn.raw import connection, head, read_answer


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GE(T / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nbad header: 'x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
)
def test_refusals_show_nothing_of_python(serve: Serve, sent: bytes) -> None:
    with connection(serve()) as opened:
        opened.sendall(sent)
        answer = read_answer(opened)
    assert (answer.status, answer.error.code) == (400, "invalid_http")
    message = answer.error.message
    assert message.startswith("This is no HTTP request: ")
    assert message[-1].isalnum()
    assert not any(word in message for word in ("bytearray", "b'", 'b"', "\\x"))


def test_strangers_write_no_line_each_and_no_advice(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    address = serve()
    for known in logging.getLogger("uvicorn.error").filters:
        assert isinstance(known, RareLines)
        known.__init__()  # type: ignore[misc]
    for _ in range(5):
        with connection(address) as opened:
            opened.sendall(head("/health", "connection: upgrade", "upgrade: websocket", method="GET"))
            assert read_answer(opened).status == 200
        with connection(address) as opened:
            opened.sendall(b"no request\r\n\r\n")
            assert read_answer(opened).status == 400
    lines = [record.message for record in caplog.records if record.name == "uvicorn.error"]
    assert sorted(lines) == sorted([INVALID, UPGRADE])


def test_a_line_comes_again_after_a_minute_and_others_always() -> None:
    now = [0.0]
    rare = RareLines(lambda: now[0])

    def passes(text: str) -> bool:
        return rare.filter(logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, (), None))

    assert passes(INVALID)
    assert passes(UPGRADE)
    now[0] = 59.0
    assert not passes(INVALID)
    assert all(passes("something else") for _ in range(3))
    now[0] = 60.0
    assert passes(INVALID)
    assert not passes(INVALID)
