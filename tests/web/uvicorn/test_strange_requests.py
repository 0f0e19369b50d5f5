"""What strangers send that is no request: told in plain words, and not a line of the log for each."""

import httpx
import pytest

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


def test_strangers_write_no_line_of_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    address = serve()
    with connection(address) as opened:
        opened.sendall(head("/health", "connection: upgrade", "upgrade: websocket", method="GET"))
        assert read_answer(opened).status == 200
    with connection(address) as opened:
        opened.sendall(b"no request\r\n\r\n")
        assert read_answer(opened).status == 400
    assert [record.message for record in caplog.records if record.name == "uvicorn.error"] == []
    assert 'caravan_http_errors_total{code="invalid_http"} 1.0' in httpx.get(f"{address}/metrics").text
