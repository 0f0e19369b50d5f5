"""A lock that threads of several owners take in turns."""

import contextlib
import threading
import time
from collections.abc import Generator

from caravan.runtime.sharing.fair_queue import FairQueue


class FairLock:
    """Goes from one thread to the next by what each owner has had of its time."""

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
