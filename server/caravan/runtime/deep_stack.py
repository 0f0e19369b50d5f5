"""Threads with deep stacks, for recursion: some tokenizers of llama.cpp recurse once for each character."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from caravan.runtime.panics import settle_held

T = TypeVar("T")

# libstdc++'s regular expressions take some 400 bytes of stack a character, and end the process without them.
_BYTES_PER_CHARACTER = 1024
# Fits the smallest stack that a thread of ours may have (2 MiB, where the system has no limit of its own).
SAFE_RUN = 1000
# What this needs, 512 MiB, is only reserved; the part that is used goes back when the thread ends.
MAX_RUN = 500_000

_RUNS = re.compile(r"\w+|\s+|[^\w\s]+")


def longest_run(text: str) -> int:
    """Measure the longest run of word characters, of white space, or of anything else."""
    return max((match.end() - match.start() for match in _RUNS.finditer(text)), default=0)


# The size of new stacks is one for the whole process, so changing it for a moment is for one at a time.
_STACK_SIZE = threading.Lock()


class DeepStack:
    """Calls functions on a thread whose stack is deep enough; one at a time, as their memory adds up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def call(self, function: Callable[[], T], run: int) -> T:
        """Return the result of `function`, which recurses `run` times."""
        outcome: Future[T] = Future()
        with self._lock:
            thread = _start(
                partial(settle_held, [(outcome, function)]), (run * _BYTES_PER_CHARACTER + 2**21) & ~0xFFFF
            )
            thread.join()
        try:
            return outcome.result()
        finally:
            del outcome


def _start(work: Callable[[], None], stack_size: int) -> threading.Thread:
    """A running thread with a stack of so many bytes."""
    with _STACK_SIZE:
        previous = threading.stack_size(stack_size)
        try:
            thread = threading.Thread(target=work, name="deep stack")
            thread.start()
        except RuntimeError as error:
            raise MemoryError(f"no memory for a stack of {stack_size >> 20} MiB") from error
        finally:
            threading.stack_size(previous)
    return thread
