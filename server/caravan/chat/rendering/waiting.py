"""Waits for a process that was asked something, as long as there is a hope that it answers."""

import select
import socket
import time

from caravan.runtime.machine import ProcessSample, process_sample

_TICK_SECONDS = 0.5
# Ticks in a stopped process, or in one that neither works nor wants to, after which it will not answer.
_MOST_STOPPED = 4
_MOST_STILL = 10
# A machine that does not get to it in this time is not going to, as far as the client is concerned.
_WALL_SECONDS = 60.0


def fault_of(connection: socket.socket, pid: int) -> str:
    """Wait until there is something to read, be it the end; else, why there will be nothing.

    Raises OSError.
    """
    began, last = time.monotonic(), None
    num_stopped = num_still = 0
    while not _is_readable(connection):
        sample = process_sample(pid)
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


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(_TICK_SECONDS * 1000))


def _is_still(last: ProcessSample | None, now: ProcessSample | None) -> bool:
    """Whether nothing has happened in it, although it was asked something."""
    if last is None or now is None or now.states & {"R", "D"}:
        return False
    return (now.cpu_seconds, now.num_faults) == (last.cpu_seconds, last.num_faults)
