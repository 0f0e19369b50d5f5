"""Clients that do what no library would do: bytes on sockets, to a server in a process of its own."""

import contextlib
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Generator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from tests.faults.bystanders import Bystanders
from tests.faults.conftest import MODEL
from tests.waiting import PATIENCE
from tests.web.uvicorn.raw import head

TEXT = "/v1/completions"
# Closing such a socket resets the connection.
_ABRUPT = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def client(address: str, *, room: int | None = None) -> Generator[socket.socket, None, None]:
    """A connection; with `room`, the client's system keeps no more than about so many bytes for it."""
    url = urlsplit(address)
    with socket.socket() as opened:
        if room is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        opened.settimeout(PATIENCE)
        opened.connect((url.hostname, url.port))
        yield opened


def hang_up(opened: socket.socket, *, abruptly: bool) -> None:
    """Close a connection, by a reset or in good order."""
    if abruptly:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT)
    opened.close()


def request(*, key: str | None = None, **fields: object) -> bytes:
    """A whole request for a text, head and body."""
    body = json.dumps({"model": MODEL, "prompt": "Hi", "temperature": 0, **fields}).encode()
    keys = () if key is None else (f"authorization: Bearer {key}",)
    return head(TEXT, f"content-length: {len(body)}", *keys) + body


def has_status(opened: socket.socket, status: int) -> bool:
    """Whether an answer with this status has come, all of which can still be read."""
    if not select.select([opened], [], [], 0)[0]:
        return False
    return opened.recv(64, socket.MSG_PEEK).startswith(f"HTTP/1.1 {status} ".encode())


def sample(address: str, name: str) -> float:
    """The sum of a metric's samples whose line begins so; 0 where there is none."""
    lines = httpx.get(f"{address}/metrics", timeout=PATIENCE).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def asks(address: str, **fields: object) -> int:
    """The status of an ordinary request; 0 where the connection is refused or breaks."""
    body = {"model": MODEL, "prompt": "Hi", "max_tokens": 2, **fields}
    try:
        return httpx.post(f"{address}{TEXT}", json=body, timeout=PATIENCE).status_code
    except httpx.TransportError:
        return 0


class Waits(NamedTuple):
    """The longest that a bystander waited, in seconds: for a first token, and for the next one."""

    first: float
    gap: float


def longest_waits(crowd: Bystanders, action: Callable[[], object]) -> Waits:
    """How long bystanders wait for their tokens at most, until after the action."""
    crowd.seen.longest_gap = crowd.seen.longest_wait = 0.0
    action()
    crowd.wait_for(3)
    return Waits(crowd.seen.longest_wait, crowd.seen.longest_gap)


def send_together(address: str, path: str, body: bytes, *, count: int = 8) -> list[int]:
    """Send a body by so many clients at once; the statuses of their answers, which are read to their ends."""
    sent = head(path, f"content-length: {len(body)}", "connection: close") + body
    statuses: list[int] = []

    def send() -> None:
        with client(address) as opened:
            opened.sendall(sent)
            statuses.append(int(opened.recv(65536).split(b" ")[1]))
            while opened.recv(1 << 20):
                pass

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses
