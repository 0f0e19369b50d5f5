"""Bounds on what a template may take: in the process that renders, enforced by the system."""

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Far beyond any conversation; a template that wants more is broken, or hostile.
MAX_BYTES = 768 * 1024 * 1024
MAX_CHARACTERS = 64 * 1024 * 1024
# What is stuck in C hears no signal, and has this much longer until the process is ended.
_GRACE_SECONDS = 2


class TooLongError(BaseException):
    """The time is up. Nothing that a template does may catch it."""


def bound_process() -> None:
    """Bound this process's memory, and what it leaves behind."""
    signal.signal(signal.SIGPROF, _stop)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    # macOS knows this limit, and takes none.
    if sys.platform != "darwin":
        _lower(resource.RLIMIT_AS, MAX_BYTES)


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise TooLongError after so much time on a processor, and end the process if that does not help."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _lower(resource.RLIMIT_CPU, int(used + seconds) + _GRACE_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _lower(kind: int, limit: int) -> None:
    """Set a limit that may be set anew."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TooLongError
