"""A server that has no files left, by its clients' doing or by the machine's."""

import contextlib
import resource
import select
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.bystanders import bystanders
from tests.faults.clients import asks, client, request
from tests.faults.conftest import MODEL
from tests.faults.process import open_descriptors, server_process
from tests.waiting import wait_until
from tests.web.uvicorn.raw import read_answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sets limits of another process")

_SHORT = "no connection can be accepted"


def test_where_files_are_short_idle_connections_make_room_and_the_log_is_short(
    tiny_options: tuple[str, ...],
) -> None:
    with server_process(*tiny_options) as server:
        _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            # Some for the bystanders, who come again and again.
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_descriptors(server.pid) + 12, most))
            idle = [stack.enter_context(client(server.address)) for _ in range(60)]
            wait_until(lambda: _SHORT in server.output)
            # All have come: the last in the place of others, which have made room.
            wait_until(lambda: sum(map(_is_closed, idle)) >= 60 - 12)
            with bystanders(server.address, MODEL) as crowd:
                crowd.wait_for(10)
        crowd.seen.assert_unharmed()
        assert server.output.count(_SHORT) == 1
        assert "Traceback" not in server.output
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, most))
        wait_until(lambda: asks(server.address) == 200)


def _is_closed(opened: socket.socket) -> bool:
    """Whether the server has closed a connection on which it has sent nothing."""
    return bool(select.select([opened], [], [], 0)[0])


def _is_read_to_its_end(opened: socket.socket) -> bool:
    received = b""
    while b"data: [DONE]" not in received:
        data = opened.recv(1 << 16)
        if not data:
            return False
        received = received[-100:] + data
    opened.close()
    return True


def test_where_all_files_are_at_work_newcomers_wait_until_there_are_some(
    tiny_options: tuple[str, ...],
) -> None:
    with server_process(*tiny_options) as server:
        _, most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(client(server.address)) for _ in range(3)]
            for opened in streams:
                opened.sendall(request(max_tokens=1900, ignore_eos=True, stream=True))
                assert opened.recv(100).startswith(b"HTTP/1.1 200")
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_descriptors(server.pid), most))
            late = stack.enter_context(client(server.address))
            late.sendall(request(max_tokens=1))
            # The streams go on, and when one of them ends there is a place. One that nobody reads would make
            # room, so all are read at once.
            with ThreadPoolExecutor(len(streams)) as readers:
                assert list(readers.map(_is_read_to_its_end, streams)) == [True] * len(streams)
            assert read_answer(late).status == 200
        assert server.output.count(_SHORT) <= 1


def test_those_who_are_refused_cost_few_files(tiny_options: tuple[str, ...]) -> None:
    """Each is told so and may read that for two seconds, but no more than 64 of them at once."""
    with server_process(*tiny_options, "--max-connections", "2") as server, contextlib.ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(client(server.address))
            busy.sendall(request(max_tokens=1900, ignore_eos=True, stream=True, n=4))
            assert busy.recv(100).startswith(b"HTTP/1.1 200")
        before = open_descriptors(server.pid)
        most = 0
        for _ in range(500):
            stack.enter_context(client(server.address))
            most = max(most, open_descriptors(server.pid))
        time.sleep(0.2)
        assert max(most, open_descriptors(server.pid)) <= before + 180
