"""Bytes to a server and back, as no HTTP library would send them."""

import contextlib
import socket
from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import urlsplit

from caravan_schemas.errors import ErrorDetail, ErrorResponse

from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Answer:
    """A status, the headers by lower-case names, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> ErrorDetail:
        """What the envelope says."""
        return ErrorResponse.model_validate_json(self.body).error


@contextlib.contextmanager
def connection(address: str) -> Generator[socket.socket, None, None]:
    """A plain connection to a server."""
    url = urlsplit(address)
    assert url.hostname is not None
    with socket.create_connection((url.hostname, url.port), timeout=PATIENCE) as opened:
        yield opened


def takes_connections(address: str) -> bool:
    """Whether somebody listens there."""
    try:
        with connection(address):
            return True
    except ConnectionRefusedError:
        return False


def head(path: str, *fields: str, method: str = "POST") -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: localhost", *fields, "", "")).encode()


def read_answer(opened: socket.socket) -> Answer:
    """The next answer on a connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(opened)
    top, _, body = received.partition(b"\r\n\r\n")
    first, *fields = top.decode().split("\r\n")
    headers = {name.lower(): text for name, _, text in (field.partition(": ") for field in fields)}
    while len(body) < int(headers["content-length"]):
        body += _more(opened)
    return Answer(int(first.split()[1]), headers, body)


def read_to_end(opened: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    received = b""
    while data := opened.recv(65536):
        received += data
    return received


def _more(opened: socket.socket) -> bytes:
    data = opened.recv(65536)
    assert data, "the server closed the connection without an answer"
    return data
