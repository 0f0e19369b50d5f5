"""A thread that compiles constraints, one after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from server.engine.grammar import GrammarCompiler
from server.panics import contains_panics
from server.threads import to_the_end

T = TypeVar("T")


class Compiling(Generic[T]):
    """What is being compiled, or will be when its turn comes."""

    def __init__(self, future: asyncio.Future[T], begun: asyncio.Event) -> None:
        self._future = future
        self._begun = begun
        # Nobody may be waiting for it any more when it fails; asyncio would complain.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def result(self, seconds: float) -> T:
        """What it comes to; raises what it raises, or TimeoutError `seconds` after it has begun.

        The time before is that of others, and they cannot take more than so long each.
        """
        await self._begun.wait()
        return await asyncio.wait_for(asyncio.shield(self._future), seconds)

    async def ended(self) -> None:
        """Wait until the thread is done with it, whatever it comes to."""
        await to_the_end(asyncio.wait([self._future]))


class Lane:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._grammars = GrammarCompiler()
        self._thread = ThreadPoolExecutor(1, "constraints")

    def compile(self, work: Callable[[GrammarCompiler], T]) -> Compiling[T]:
        """Call `work` on the thread after all that came before."""
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        @contains_panics
        def run() -> T:
            loop.call_soon_threadsafe(begun.set)
            return work(self._grammars)

        return Compiling(loop.run_in_executor(self._thread, run), begun)
