"""A thread that compiles constraints, one after the other; each key has a share of its time."""

import asyncio
import concurrent.futures
import copy
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from caravan.auth.principal import Principal
from caravan.grammars.compiler import GrammarCompiler
from caravan.runtime.fair_queue import FairThread
from caravan.runtime.machine import require_memory
from caravan.runtime.panics import contains_panics
from caravan.runtime.threads import to_the_end

T = TypeVar("T")

# What the largest grammars take that its limits let through.
_COMPILER_BYTES = 64 << 20


class Compiling(Generic[T]):
    """What is being compiled, or will be when its turn comes, as long as somebody waits for it."""

    def __init__(self, work: concurrent.futures.Future[T], begun: asyncio.Event) -> None:
        self._work = work
        self._future = asyncio.wrap_future(work)
        self._begun = begun
        self._num_waiting = 0
        # Nobody may be waiting for it any more when it fails; asyncio would complain.
        self._future.add_done_callback(_forget_frames)

    @property
    def has_begun(self) -> bool:
        """Whether its turn has come."""
        return self._begun.is_set()

    @property
    def is_given_up(self) -> bool:
        """Whether it will never come to anything, because all left before it was begun."""
        return self._work.cancelled()

    async def result(self, seconds: float) -> T:
        """Wait for what it comes to; raises what it raises, or TimeoutError `seconds` after it has begun.

        The time before is that of others, and they cannot take more than so long each.
        """
        self._num_waiting += 1
        try:
            await self._begun.wait()
            async with asyncio.timeout(seconds):
                await asyncio.wait([self._future])
            if (error := self._future.exception()) is not None:
                # Each gets one of their own: an error refers to all that it came through, and this is kept.
                raise copy.copy(error)
            return self._future.result()
        finally:
            self._num_waiting -= 1
            if not self._num_waiting:
                # What runs cannot be stopped.
                self._work.cancel()

    async def ended(self) -> None:
        """Wait until the thread is done with it, whatever it comes to."""
        await to_the_end(asyncio.wait([self._future]))


class CompileThread:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._grammars = GrammarCompiler()
        self._thread = FairThread("constraints")

    def compile(self, work: Callable[[GrammarCompiler], T], principal: Principal) -> Compiling[T]:
        """Call `work` on the thread when it is the turn of who asks."""
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        @contains_panics
        def run() -> T:
            loop.call_soon_threadsafe(begun.set)
            require_memory(_COMPILER_BYTES, "this constraint")
            return work(self._grammars)

        return Compiling(self._thread.submit(run, principal.id, principal.weight), begun)


def _forget_frames(done: asyncio.Future[Any]) -> None:
    """Let an error, and those it came of, refer to no frame, and so to nothing of a request."""
    error = None if done.cancelled() else done.exception()
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
