"""What other threads want of the engine's, in the order in which they came to want it."""

import queue
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVarTuple

Values = TypeVarTuple("Values")


class Inbox:
    """Calls that wait for the engine's thread. Any thread may put some; one thread makes them.

    Of those that background work gives way to, it is known whether one has come since the engine looked last.
    One thread puts these.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._num_live = 0
        self._num_live_seen = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._calls.empty()

    def put(self, call: Callable[[*Values], None], *values: *Values, is_live: bool = False) -> None:
        """Have a call made; `is_live` says that background work gives way to it."""
        self._calls.put(partial(call, *values))
        self._num_live += is_live

    def has_newcomer(self) -> bool:
        """Say whether something that is live has come since the last `take_in` began."""
        return self._num_live != self._num_live_seen

    def wait(self, pauses: Iterable[float]) -> Callable[[], None]:
        """Sleep until there is a call, and return it. Meanwhile `pauses` is asked, after each of its pauses,
        in seconds, for the next, and may do something then.
        """
        for seconds in pauses:
            try:
                return self._calls.get(timeout=seconds)
            except queue.Empty:
                continue
        return self._calls.get()

    def take_in(self) -> None:
        """Make all calls that wait."""
        self._num_live_seen = self._num_live
        while not self._calls.empty():
            self._calls.get()()
