"""The engine's process ends while the server lacks what it takes to start another."""

import os
import resource
import signal
import sys

import httpx
import pytest

from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, open_descriptors, server_process
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits a process that runs")


def _ask(client: httpx.Client) -> httpx.Response:
    body = {"model": MODEL, "prompt": "The quick brown fox", "max_tokens": 24, "temperature": 0}
    return client.post("/v1/completions", json=body)


def _limit_files(server: ServerProcess, more: int) -> tuple[int, int]:
    """Let the server open so many files more than it has; the limits it had."""
    before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_descriptors(server.pid) + more, before[1]))
    return before


@pytest.mark.parametrize("more", [0, 2])
def test_without_descriptors_it_is_tried_until_there_are_some(
    tiny_options: tuple[str, ...], more: int
) -> None:
    with (
        server_process(*tiny_options) as server,
        # A connection that is there already: another could not be taken.
        httpx.Client(base_url=server.address, timeout=PATIENCE) as client,
    ):
        text = _ask(client).json()["choices"][0]["text"]
        before = _limit_files(server, more)
        os.kill(server.engine_pid(), signal.SIGKILL)
        wait_until(lambda: "the engine cannot be started: OSError" in server.output)
        answer = _ask(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
        assert "does not start" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"].isdecimal()
        assert client.get("/ready").status_code == 503
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert _ask(client).json()["choices"][0]["text"] == text
        assert "Traceback" not in server.output
