"""Memory is short in the process that speaks HTTP, or in the engine's: a limit is lowered under them."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits a process that runs")

_MEGABYTE = 1 << 20
_LONG = "the cat sat on the mat, and so on; " * 90_000
_WORD = "ab" * 40_000
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "it", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
# What takes much: a long text, a text in many pieces, one word (which has to have a deep stack), a grammar.
_HUNGRY: dict[str, tuple[str, dict[str, Any]]] = {
    "a long text": ("/tokenize", {"prompt": _LONG}),
    "a long prompt": ("/v1/completions", {"prompt": _LONG, "max_tokens": 1, "truncate_prompt_tokens": 100}),
    "one long word": ("/tokenize", {"prompt": _WORD}),
    "a constraint": ("/v1/completions", {"prompt": "Hi", "max_tokens": 4, "response_format": _SCHEMA}),
    "a large body": ("/v1/completions", {"prompt": [[1, 2]] * 60_000, "max_tokens": 1}),
}


def _address_space(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize:"))


@contextlib.contextmanager
def _little_memory(pid: int, left: int) -> Generator[None, None, None]:
    """Leave a running process so many bytes more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (_address_space(pid) + left, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


def _ask(server: ServerProcess, name: str) -> httpx.Response:
    path, body = _HUNGRY[name]
    return httpx.post(f"{server.address}{path}", json={"model": MODEL, **body}, timeout=PATIENCE)


@pytest.mark.parametrize("left", [48, 6], ids=lambda left: f"{left} MB left")
def test_who_needs_much_gets_a_503_and_others_notice_nothing(
    tiny_options: tuple[str, ...], left: int
) -> None:
    with server_process(*tiny_options, "--max-body-bytes", "8000000") as server:
        with bystanders(server.address, MODEL) as crowd:
            crowd.wait_for(2)
            with _little_memory(server.pid, left * _MEGABYTE):
                for name in _HUNGRY:
                    answer = _ask(server, name)
                    if answer.status_code != 503:
                        # What it needed may have been there from the requests before.
                        assert answer.status_code in (200, 400), (name, answer.text[:300])
                        continue
                    assert answer.json()["error"]["code"] == "insufficient_memory", (name, answer.text)
                    assert answer.headers["retry-after"].isdecimal()
                assert _ask(server, "a long text").status_code == 503
                crowd.wait_for(2)
            for name in _HUNGRY:
                assert _ask(server, name).status_code in (200, 400), name
        assert crowd.seen.changed == []
        # With next to nothing left, the smallest request has to be told so, too.
        assert all("insufficient_memory" in line for line in crowd.seen.lost)
        assert left < 8 or crowd.seen.lost == []
        assert not server.has_ended


def test_an_engine_without_memory_refuses_what_needs_it_and_goes_on(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options) as server:
        engine = server.engine_pid()
        with bystanders(server.address, MODEL) as crowd:
            crowd.wait_for(2)
            with _little_memory(engine, 12 * _MEGABYTE):
                answer = _ask(server, "a constraint")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "insufficient_memory")
                texts = {"model": MODEL, "input": "word " * 300}
                answer = httpx.post(f"{server.address}/v1/embeddings", json=texts, timeout=PATIENCE)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "insufficient_memory")
                crowd.wait_for(2)
            assert _ask(server, "a constraint").status_code == 200
        crowd.seen.assert_unharmed()
        assert server.engine_pid() == engine


def test_an_engine_that_cannot_be_started_for_lack_of_memory_is_tried_again(
    tiny_options: tuple[str, ...],
) -> None:
    """The limit of the server's process is that of the processes it starts; not even a socket can be read."""
    with server_process(*tiny_options) as server:
        before = resource.prlimit(server.pid, resource.RLIMIT_AS)
        resource.prlimit(server.pid, resource.RLIMIT_AS, (150 * _MEGABYTE, before[1]))
        engine = server.engine_pid()
        httpx.post(f"{server.address}/v1/completions", json={"model": MODEL, "prompt": "Hi", "max_tokens": 1})
        os.kill(engine, signal.SIGKILL)
        wait_until(lambda: "engine does not start" in server.output or "cannot be started" in server.output)
        resource.prlimit(server.pid, resource.RLIMIT_AS, before)
        server.wait_ready()
        assert server.engine_pid() != engine
