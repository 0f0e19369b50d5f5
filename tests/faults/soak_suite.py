"""Mixed traffic for minutes: nothing may grow, no bystander's text may change, and no process may die.

`SOAK_SECONDS` is how long (600).
"""

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, open_descriptors, resident_bytes, server_process
from tests.waiting import wait_until
from tests.web.uvicorn.raw import head

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")

_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
_NUM_CLIENTS = 4
_MEGABYTE = 2**20
# What caches may still take after a minute of the same traffic.
_MAX_GROWTH = 160 * _MEGABYTE
_REQUEST_SECONDS = 60

Body = dict[str, Any]


def _schema(draw: random.Random) -> Body:
    names = [f"{draw.choice('abcdef')}{draw.randrange(40)}" for _ in range(3)]
    properties = {name: {"type": draw.choice(["integer", "boolean", "null"])} for name in names}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}}


def _text(draw: random.Random) -> str:
    return " ".join(
        draw.choices(["the", "a", "cat", "sat", "on", "mat", "été", "🦙"], k=draw.randrange(1, 120))
    )


def _chat(draw: random.Random) -> Body:
    roles = ["system", *(("user", "assistant") * draw.randrange(1, 4))]
    messages = [{"role": role, "content": _text(draw)} for role in roles] + [{"role": "user", "content": "?"}]
    return {"messages": messages, "max_tokens": draw.randrange(1, 80), "temperature": draw.random() * 2}


def _wrong(draw: random.Random) -> Body:
    return draw.choice(
        [
            {"messages": "none", "max_tokens": 4},
            {"messages": [{"role": "user", "content": "x " * 9000}], "max_tokens": 4},
            {"messages": [{"role": "user", "content": "x"}], "temperature": -1},
            {"messages": [{"role": "user", "content": "x"}], "grammar": "root ::= ("},
            {"messages": [{"role": "user", "content": "x"}], "guided_regex": "(" * 300},
        ]
    )


def _ask(address: str, draw: random.Random) -> None:
    """One request of a kind that is drawn; what comes back must be an answer or a clear refusal."""
    body = draw.choice([_chat, _chat, lambda d: _chat(d) | _schema(d), _wrong])(draw)
    body["stream"] = draw.random() < 0.5
    url = f"{address}/v1/chat/completions"
    with httpx.stream("POST", url, json=body | {"model": MODEL}, timeout=_REQUEST_SECONDS) as answer:
        assert answer.status_code in (200, 400), answer.read()
        for _ in answer.iter_raw():
            if draw.random() < 0.05:
                return  # and the connection is closed in the middle of the answer


def _hang_up(address: str, draw: random.Random) -> None:
    """A connection that ends somewhere within its request."""
    url = urlsplit(address)
    with socket.create_connection((url.hostname or "", url.port or 0), timeout=_REQUEST_SECONDS) as opened:
        whole = head("/v1/completions", "content-length: 40", "content-type: application/json") + b'{"model":'
        opened.sendall(whole[: draw.randrange(len(whole))])


class _Traffic(threading.Thread):
    """A client that does one thing after the other, until `over`."""

    def __init__(self, address: str, number: int, over: threading.Event) -> None:
        super().__init__()
        self._address, self._draw, self._over = address, random.Random(number), over
        self.num_done = 0
        self.faults: list[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            action: Callable[[str, random.Random], None] = _hang_up if self._draw.random() < 0.2 else _ask
            try:
                action(self._address, self._draw)
            except Exception as error:
                self.faults.append(repr(error))
            self.num_done += 1


def _memory(server: ServerProcess) -> int:
    return resident_bytes(server.pid) + resident_bytes(server.engine_pid())


def test_ten_minutes_of_mixed_traffic(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        engine, over = server.engine_pid(), threading.Event()
        descriptors = open_descriptors(server.pid)
        traffic = [_Traffic(server.address, number, over) for number in range(_NUM_CLIENTS)]
        with bystanders(server.address, MODEL) as crowd:
            for client in traffic:
                client.start()
            time.sleep(_SECONDS / 4)
            before = _memory(server)
            time.sleep(_SECONDS * 3 / 4)
            after = _memory(server)
            over.set()
            for client in traffic:
                client.join(_REQUEST_SECONDS * 2)
        done = sum(client.num_done for client in traffic)
        print(f"{done} requests, and {crowd.seen.num_answers} of bystanders, in {_SECONDS:.0f} s")
        print(f"longest gap {crowd.seen.longest_gap:.2f} s, longest wait {crowd.seen.longest_wait:.2f} s")
        print(f"memory {before / _MEGABYTE:.0f} and {after / _MEGABYTE:.0f} MB")
        assert [fault for client in traffic for fault in client.faults] == []
        crowd.seen.assert_unharmed()
        assert server.engine_pid() == engine
        assert after - before < _MAX_GROWTH
        wait_until(lambda: open_descriptors(server.pid) <= descriptors + 2)
        assert "Traceback" not in server.output
