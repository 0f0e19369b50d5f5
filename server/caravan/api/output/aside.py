"""Work on an answer that may be about little or about very much."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from caravan.engine.outputs import TokenLogprob
from caravan.runtime.threads import in_busy_thread

T = TypeVar("T")

# Characters and log probabilities together that are read or written in a few milliseconds.
_SMALL = 8192


async def aside(size: int, work: Callable[[], T]) -> T:
    """The result of `work`, done on a thread if it is about much: others stream meanwhile.

    `size` counts characters and log probabilities.
    """
    return work() if size <= _SMALL else await in_busy_thread(work)


def num_numbers(entries: Sequence[TokenLogprob]) -> int:
    """How many log probabilities there are; each entry has as many as the last."""
    return len(entries) * (1 + entries[-1].num_top) if entries else 0
