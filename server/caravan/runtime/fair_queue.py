"""Turns for several owners, such as keys: the next turn goes to whoever has had the least of the time so far.

`FairOrder` is the arithmetic, `FairQueue` holds what waits. Over it, `FairLock` is for threads, and
`FairThread` is one thread that works for all. For coroutines there is `caravan.runtime.threads.FairLimiter`.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from caravan.runtime.panics import settle_held

T = TypeVar("T")


class FairOrder:
    """Start-time fair queueing (Goyal, Vin and Cheng, 1996): whoever asks for much waits behind those
    who ask for little, each owner's share being in proportion to a weight. One owner alone has the order of
    arrival.
    """

    def __init__(self) -> None:
        self.virtual_time = 0.0
        self._ends: dict[str, float] = {}

    def start(self, owner: str) -> float:
        """Say where the owner's next request belongs, lower first."""
        return max(self.virtual_time, self._ends.get(owner, 0.0))

    def place(self, owner: str, weight: float, cost: float) -> float:
        """Say where a request of this cost belongs, lower first; `begin` it there."""
        start = self.start(owner)
        self._ends[owner] = start + cost / weight
        return start

    def give_back(self, owner: str, weight: float, cost: float) -> None:
        """Take back the cost of a request that was placed and will never have its turn."""
        if owner in self._ends:
            self._ends[owner] -= cost / weight

    def begin(self, start: float) -> None:
        """Note that the request placed there has its turn. Owners that are not ahead are forgotten."""
        if start > self.virtual_time:
            self.virtual_time = start
            self._ends = {owner: end for owner, end in self._ends.items() if end > start}


class FairQueue(Generic[T]):
    """Each owner's items come in the order of their arrival. Not for several threads at once."""

    def __init__(self) -> None:
        self._order = FairOrder()
        self._waiting: dict[str, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def push(self, owner: str, item: T) -> None:
        """Add an item."""
        self._waiting.setdefault(owner, deque()).append(item)

    def pop(self) -> T:
        """Take the next item. Of owners that have had as much, each has its turn."""
        owner = min(self._waiting, key=self._order.start)
        self._order.begin(self._order.start(owner))
        items = self._waiting.pop(owner)
        item = items.popleft()
        if items:
            self._waiting[owner] = items
        return item

    def remove(self, owner: str, item: T) -> bool:
        """Take an item out; whether it was still there."""
        items = self._waiting.get(owner)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[owner]
        return True

    def charge(self, owner: str, cost: float, weight: float = 1.0) -> None:
        """Note what an item of an owner has cost, in seconds say."""
        self._order.place(owner, weight, cost)


class FairLock:
    """A lock for threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._is_held = False
        self._waiting: FairQueue[threading.Event] = FairQueue()

    @contextlib.contextmanager
    def held(self, owner: str = "", weight: float = 1.0) -> Generator[None, None, None]:
        """Wait for the lock and have it."""
        self._acquire(owner)
        begun = time.monotonic()
        try:
            yield
        finally:
            self._release(owner, weight, time.monotonic() - begun)

    def _acquire(self, owner: str) -> None:
        turn = threading.Event()
        with self._mutex:
            if not self._is_held:
                self._is_held = True
                return
            self._waiting.push(owner, turn)
        turn.wait()

    def _release(self, owner: str, weight: float, seconds: float) -> None:
        with self._mutex:
            self._waiting.charge(owner, seconds, weight)
            if self._waiting:
                # The lock is never free in between, so that nobody comes before their turn.
                self._waiting.pop().set()
            else:
                self._is_held = False


@dataclass(frozen=True, eq=False)
class _Task(Generic[T]):
    """`held` is what `settle_held` takes; the future keeps its callbacks, and they this, so it is emptied."""

    held: list[tuple[Future[T], Callable[[], T]]]
    owner: str
    weight: float


class FairThread:
    """One thread that does one thing after the other. Any thread may ask."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._queue: FairQueue[_Task[Any]] = FairQueue()
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, work: Callable[[], T], owner: str = "", weight: float = 1.0) -> Future[T]:
        """Have `work` done. What is cancelled before it has begun is not, and takes no time.

        Raises MemoryError where no thread can be started.
        """
        outcome: Future[T] = Future()
        task = _Task([(outcome, work)], owner, weight)
        with self._lock:
            self._queue.push(owner, task)
        outcome.add_done_callback(lambda future: self._forget(task) if future.cancelled() else None)
        try:
            self._thread.submit(self._run_next)
        except RuntimeError as error:
            outcome.cancel()
            if "start" not in str(error):
                raise
            raise MemoryError("no memory for a thread") from error
        return outcome

    def close(self, *, wait: bool) -> None:
        """Do nothing more of what waits; with `wait`, return when the last has ended."""
        self._thread.shutdown(wait=wait, cancel_futures=True)
        while (task := self._next()) is not None:
            for outcome, _ in task.held:
                outcome.cancel()

    def _next(self) -> _Task[Any] | None:
        with self._lock:
            return self._queue.pop() if self._queue else None

    def _forget(self, task: _Task[Any]) -> None:
        with self._lock:
            if self._queue.remove(task.owner, task):
                task.held.clear()

    def _run_next(self) -> None:
        task = self._next()
        if task is None:
            # What was to be done has been cancelled.
            return
        begun = time.monotonic()
        settle_held(task.held)
        with self._lock:
            self._queue.charge(task.owner, time.monotonic() - begun, task.weight)
