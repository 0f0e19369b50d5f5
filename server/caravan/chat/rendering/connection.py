"""The socket between the server and a template's process, and the server's hold on that process.

A message is a length, then JSON: that has integers of any size, as arguments and schemas may have.
"""

import json
import select
import socket
import struct
import subprocess
import time
from typing import Any

from caravan.runtime import children
from caravan.runtime.children import read_exactly
from caravan.runtime.machine import ProcessSample, process_sample

# The status with which a process ends that has had nothing to do for a while.
IDLE_STATUS = 75

_LENGTH = struct.Struct("<Q")
# For a machine that does not get to it, or a process that does not end as it should.
_WALL_SECONDS = 60.0
_ENDING_SECONDS = 0.5
_TICK_SECONDS = 0.5
# Ticks in a stopped process, or in one that neither works nor wants to, after which it will not answer.
_MOST_STOPPED = 4
_MOST_STILL = 10


def send(connection: socket.socket, message: object) -> None:
    """Send a message whole. Raises OSError."""
    body = json.dumps(message).encode()
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> Any | None:  # noqa: ANN401 (whatever JSON holds)
    """Wait for the next message; None when the other side is gone. Raises OSError."""
    prefix = read_exactly(connection, _LENGTH.size)
    if prefix is None:
        return None
    body = read_exactly(connection, *_LENGTH.unpack(prefix))
    return None if body is None else json.loads(body)


class Child:
    """A process that runs a module with one end of a socket. Raises OSError where it cannot be started."""

    def __init__(self, module: str) -> None:
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(_WALL_SECONDS)
        with theirs:
            try:
                self.process = children.start(module, theirs)
            except BaseException:
                self._connection.close()
                raise

    def ask(self, message: object) -> tuple[Any | None, str]:
        """Send a message and wait for the answer; without one, say why, unless the process just ended."""
        try:
            send(self._connection, message)
            fault = self._wait()
            return (None, fault) if fault else (receive(self._connection), "")
        except (OSError, ValueError, MemoryError, OverflowError) as error:
            return None, f"it cannot be understood: {error!r}" if self.process.poll() is None else ""

    def end(self) -> int:
        """End the process; its status is 0 if it did not end by itself."""
        self._connection.close()
        try:
            status = self.process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            status = 0
        self.process.kill()
        self.process.wait()
        return status

    def _wait(self) -> str:
        """Wait until there is something to read, be it the end; else say why there will be nothing."""
        began, last = time.monotonic(), None
        num_stopped = num_still = 0
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while not poll.poll(_TICK_SECONDS * 1000):
            sample = process_sample(self.process.pid)
            states = frozenset[str]() if sample is None else sample.states
            num_stopped = num_stopped + 1 if states == {"T"} else 0
            num_still = num_still + 1 if _is_still(last, sample) else 0
            if num_stopped >= _MOST_STOPPED:
                return "it is stopped"
            if num_still >= _MOST_STILL:
                return "it does nothing"
            if time.monotonic() - began > _WALL_SECONDS:
                return f"it has not answered for {_WALL_SECONDS:.0f} s"
            last = sample
        return ""


def _is_still(last: ProcessSample | None, now: ProcessSample | None) -> bool:
    """Whether a process that was asked something has done nothing between two samples."""
    if last is None or now is None or now.states & {"R", "D"}:
        return False
    return (now.cpu_seconds, now.num_faults) == (last.cpu_seconds, last.num_faults)
