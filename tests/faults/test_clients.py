"""Clients that stop reading, stop sending or hang up, in numbers; the others must not notice."""

import contextlib
import random
import sys
import threading
import time

import pytest

from tests.faults.bystanders import bystanders
from tests.faults.clients import asks, client, hang_up, request, sample
from tests.faults.conftest import MODEL
from tests.faults.process import open_descriptors, resident_bytes, server_process
from tests.waiting import wait_until
from tests.web.uvicorn.raw import head, read_answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

_RUNNING = "caravan_num_requests_running"
_LATE = 'caravan_http_errors_total{code="write_timeout"}'
# Some 300 KB, which is more than the systems on the way keep for a client with little room.
_LONG = request(max_tokens=400, logprobs=5, ignore_eos=True, stream=True)
_MEGABYTE = 2**20
# A connection that is no older has just come, to the server.
_GRACE_SECONDS = 1.0


def test_streams_that_nobody_reads_end_and_so_does_their_work(tiny_options: tuple[str, ...]) -> None:
    with server_process(*tiny_options, "--write-seconds", "2") as server:
        with bystanders(server.address, MODEL) as crowd, contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(client(server.address, room=4096)).sendall(_LONG)
            wait_until(lambda: sample(server.address, _LATE) == 6)
            crowd.wait_for(4)
        crowd.seen.assert_unharmed()
        wait_until(lambda: sample(server.address, _RUNNING) == 0)


@pytest.mark.parametrize("what", ["senders", "readers"])
def test_slow_clients_do_not_lock_others_out(tiny_options: tuple[str, ...], what: str) -> None:
    """45 of them, where 40 connections are allowed: without a key, and for as long as they like."""
    limits = ("--max-connections", "40", "--body-seconds", "600", "--write-seconds", "600")
    with server_process(*tiny_options, *limits) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(client(server.address, room=4096)) for _ in range(40)]
        for opened in slow:
            opened.sendall(_LONG if what == "readers" else request()[:-2])
        wait_until(lambda: asks(server.address) == 200)
        # All of them have come by now, and after this none has just come any more.
        time.sleep(_GRACE_SECONDS + 0.5)
        with bystanders(server.address, MODEL) as crowd:
            for _ in range(5):
                stack.enter_context(client(server.address)).sendall(request()[:-2])
            crowd.wait_for(6)
        crowd.seen.assert_unharmed()


def test_hundreds_of_clients_that_hang_up_anywhere(tiny_options: tuple[str, ...]) -> None:
    draw = random.Random(7)
    stream = request(max_tokens=200, ignore_eos=True, stream=True)

    def hang_up_somewhere() -> None:
        with client(server.address) as opened:
            sent = stream[: draw.randrange(2 * len(stream))]
            opened.sendall(sent)
            if sent == stream:
                for _ in range(draw.randrange(6)):
                    opened.recv(draw.randrange(1, 2000))
            hang_up(opened, abruptly=draw.random() < 0.5)

    with server_process(*tiny_options) as server:
        descriptors = open_descriptors(server.pid)
        with bystanders(server.address, MODEL) as crowd:
            for _ in range(100):
                threads = [threading.Thread(target=hang_up_somewhere) for _ in range(4)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            crowd.wait_for(3)
        crowd.seen.assert_unharmed()
        wait_until(lambda: open_descriptors(server.pid) <= descriptors + 2)
        wait_until(lambda: sample(server.address, _RUNNING) == 0)
        assert "Traceback" not in server.output


def test_a_flood_of_bodies_that_never_end(tiny_options: tuple[str, ...]) -> None:
    """60 of four megabytes, each but for its last byte, where there is memory for sixteen."""
    flood = head("/v1/completions", f"content-length: {4 * _MEGABYTE}") + b" " * (4 * _MEGABYTE - 1)

    def pour() -> None:
        with contextlib.suppress(OSError), client(server.address) as opened:
            opened.sendall(flood)
            statuses.append(read_answer(opened).status)

    statuses: list[int] = []
    with server_process(*tiny_options, "--max-held-bytes", "64MiB", "--body-seconds", "6") as server:
        before = resident_bytes(server.pid)
        with bystanders(server.address, MODEL) as crowd:
            threads = [threading.Thread(target=pour) for _ in range(60)]
            for thread in threads:
                thread.start()
            wait_until(lambda: asks(server.address, user="x" * 200_000) == 200)
            most = resident_bytes(server.pid)
            for thread in threads:
                thread.join()
        # They are told, unless their connection is reset while they still send.
        assert set(statuses) == {503, 408}
        assert crowd.seen.changed == []
        assert all("overloaded" in line for line in crowd.seen.lost)
        assert crowd.seen.num_answers > 0
        assert most - before < 400 * _MEGABYTE
        wait_until(lambda: asks(server.address) == 200)
