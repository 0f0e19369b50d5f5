"""Threads on which large bodies are read, so that the event loop serves everybody else meanwhile."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from caravan.api.context import turn
from caravan.auth.principal import Principal
from caravan.runtime.sharing.fair_limiter import FairLimiter
from caravan.runtime.threads import in_thread

T = TypeVar("T")

# Those of no more bytes than these do not wait for larger ones.
_MIDDLE = 262_144
_LONGEST_REST = 0.25


class BodyThreads:
    """Bodies of about one size take turns: several readers at once would only take the interpreter's lock
    from each other, and from the event loop. Each key has a share of the time. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._small, self._middle, self._large = FairLimiter(1), FairLimiter(1), FairLimiter(1)
        self._threads = anyio.CapacityLimiter(2)

    async def at_once(self, work: Callable[[], T], principal: Principal) -> T:
        """The result of `work` over a small body, which is done here. Where hundreds come at the same moment,
        all else on the loop has its turn after each.
        """
        async with turn(self._small, principal):
            result = work()
            await asyncio.sleep(0)
            return result

    @asynccontextmanager
    async def turn(self, size: int, principal: Principal) -> AsyncGenerator[None, None]:
        """Wait for the turn of a body of so many bytes, and have it until the block ends.

        What a reader does in one call into C holds the lock. As much time as it took is then the others', up
        to what they need to catch up.
        """
        lane = self._middle if size <= _MIDDLE else self._large
        async with turn(lane, principal):
            begun = time.monotonic()
            yield
            await asyncio.sleep(min(_LONGEST_REST, time.monotonic() - begun))

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is done on a thread."""
        return await in_thread(work, limiter=self._threads)
