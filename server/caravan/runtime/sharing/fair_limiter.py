"""A limit of things done at once, for which coroutines of several owners wait in turns."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from caravan.runtime.sharing.fair_queue import FairQueue


class FairLimiter:
    """At most `capacity` at once; who waits comes in by what its owner has had of the time. Belongs to one
    event loop.
    """

    def __init__(self, capacity: int) -> None:
        self._num_free = capacity
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @contextlib.asynccontextmanager
    async def held(self, owner: str = "", weight: float = 1.0) -> AsyncGenerator[None, None]:
        """Wait for a place and have it."""
        await self._acquire(owner)
        begun = time.monotonic()
        try:
            yield
        finally:
            self._waiting.charge(owner, time.monotonic() - begun, weight)
            self._release()

    async def _acquire(self, owner: str) -> None:
        if self._num_free:
            self._num_free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.push(owner, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not self._waiting.remove(owner, turn):
                # Its turn has come all the same.
                self._release()
            raise

    def _release(self) -> None:
        """Hand the place to the next one, so that nobody comes before their turn."""
        if self._waiting:
            self._waiting.pop().set_result(None)
        else:
            self._num_free += 1
