"""One thread that works for several owners, each of whom gets a share of its time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from caravan.runtime.sharing.fair_queue import FairQueue

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Task(Generic[T]):
    work: Callable[[], T]
    owner: str
    weight: float
    future: Future[T]

    def run(self) -> None:
        """Do it, unless it was cancelled meanwhile."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.work()
        except BaseException as error:
            # Whoever waits learns of it, and the thread goes on.
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class FairThread:
    """Does one thing after the other; an owner's own in their order. Any thread may ask."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._queue: FairQueue[_Task[Any]] = FairQueue()
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, work: Callable[[], T], owner: str = "", weight: float = 1.0) -> Future[T]:
        """Have `work` done. What is cancelled before it has begun is not, and takes no time."""
        task = _Task(work, owner, weight, Future())
        with self._lock:
            self._queue.push(owner, task)
        task.future.add_done_callback(lambda future: self._forget(task) if future.cancelled() else None)
        try:
            self._thread.submit(self._run_next)
        except RuntimeError as error:
            task.future.cancel()
            if "start" not in str(error):
                raise
            raise MemoryError("no memory for a thread") from error
        return task.future

    def close(self, *, wait: bool) -> None:
        """Do nothing more of what waits; with `wait`, return when the last has ended."""
        self._thread.shutdown(wait=wait, cancel_futures=True)
        while (task := self._next()) is not None:
            task.future.cancel()

    def _next(self) -> _Task[Any] | None:
        with self._lock:
            return self._queue.pop() if self._queue else None

    def _forget(self, task: _Task[Any]) -> None:
        with self._lock:
            self._queue.remove(task.owner, task)

    def _run_next(self) -> None:
        task = self._next()
        if task is None:
            # What was to be done has been cancelled.
            return
        begun = time.monotonic()
        task.run()
        with self._lock:
            self._queue.charge(task.owner, time.monotonic() - begun, task.weight)
