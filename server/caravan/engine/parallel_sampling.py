"""Drawing the tokens of several rows at once, on several threads."""

from collections.abc import Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caravan.engine.scheduler import Work

Row = NDArray[np.float32]


class Draws(Protocol):
    """What draws from a row; a sampler does."""

    def sample(self, logits: Row) -> int:
        """The token drawn; the row is changed."""


Task = tuple[Hashable, Draws, Row]


class ParallelSampler:
    """Splits rows over threads; NumPy lets go of the interpreter in its longer passes.

    Each sampler has a state and a random stream of its own, so the tokens are the same as one by one.
    """

    def __init__(self, num_threads: int) -> None:
        self._num_threads = num_threads
        self._threads = ThreadPoolExecutor(num_threads - 1, "rows") if num_threads > 1 else None

    @property
    def is_parallel(self) -> bool:
        """Whether there is more than the caller's thread."""
        return self._threads is not None

    def draw(self, tasks: Sequence[Task]) -> dict[Hashable, "Future[int]"]:
        """What every task came to, by its name; all have ended. The calling thread does its share."""
        futures: dict[Hashable, Future[int]] = {name: Future() for name, _, _ in tasks}
        shares = [tasks[start :: self._num_threads] for start in range(min(self._num_threads, len(tasks)))]
        others = [self._submit(share, futures) for share in shares[1:]]
        if shares:
            _draw(shares[0], futures)
        for other in others:
            other.result()
        return futures

    def _submit(self, share: Sequence[Task], futures: dict[Hashable, "Future[int]"]) -> "Future[None]":
        assert self._threads is not None
        return self._threads.submit(_draw, share, futures)

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()


def _draw(tasks: Sequence[Task], futures: dict[Hashable, "Future[int]"]) -> None:
    for name, sampler, row in tasks:
        try:
            futures[name].set_result(sampler.sample(row))
        except BaseException as error:
            futures[name].set_exception(error)


def plain_rows(done: Sequence[Work], logits: Row) -> list[Task]:
    """Rows whose draw touches nothing but the sampler's own: those without a constraint."""
    tasks: list[Task] = []
    end = 0
    for item in done:
        sequence, end = item.sequence, end + item.num_logits
        if item.completes and sequence.sampler.is_plain and sequence.params.max_tokens != 0:
            tasks.append((sequence, sequence.sampler, logits[end - 1]))
    return tasks
