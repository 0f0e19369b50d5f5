"""The one way to run something in a thread from asyncio, and to wait for an end that must not be missed.

A thread cannot be cancelled. Whoever stops waiting for one gives back what it still works with: the model's
vocabulary is freed under it, and its place in the limit of threads goes to another.
"""

import asyncio
import contextvars
import errno
import functools
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import anyio.to_thread
from anyio.lowlevel import RunVar

from caravan.errors import MemoryShortError
from caravan.runtime.fair_queue import FairQueue
from caravan.runtime.panics import settle_held

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Limiters bound the threads, each for its own purpose; this only has to be more than all of them.
_MOST_THREADS = 4096
_RETRY_SECONDS = 5
# Threads that compute in Python take turns with the event loop, and the more there are the longer it waits.
_MOST_BUSY = 2

_busy: RunVar[anyio.CapacityLimiter] = RunVar("busy threads")
_pool: RunVar[ThreadPoolExecutor] = RunVar("threads")


# A thread that computes in Python lets go of the interpreter when another has waited so long, which the event
# loop does again and again within one turn. Python's own 5 ms make a gap of seconds of a few busy threads.
_SWITCH_SECONDS = 0.001


def let_the_loop_through() -> None:
    """Have busy threads make way for the event loop soon, in processes that serve."""
    sys.setswitchinterval(_SWITCH_SECONDS)


async def in_thread(
    function: Callable[[*Ts], T], *args: *Ts, limiter: AbstractAsyncContextManager[object] | None = None
) -> T:
    """Make a call in a thread. The caller that is cancelled waits until the thread has ended.

    While it waits for its turn, nothing has begun, and it goes at once. Raises what the function raises, a
    panic as PanicError, and MemoryShortError where the system allows no further thread.
    """
    async with limiter or anyio.to_thread.current_default_thread_limiter():
        return await to_the_end(_begun(partial(contextvars.copy_context().run, function, *args)))


async def in_busy_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Make a call in a thread that takes Python a while: few at a time, for the sake of the event loop."""
    try:
        limiter = _busy.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MOST_BUSY)
        _busy.set(limiter)
    return await in_thread(function, *args, limiter=limiter)


class FairLimiter:
    """At most `capacity` coroutines at once; who waits comes in by what its owner has had of the time.

    Belongs to one event loop.
    """

    def __init__(self, capacity: int) -> None:
        self._num_free = capacity
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
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


async def to_the_end(work: Awaitable[T]) -> T:
    """Wait for work to its end; a cancellation meanwhile is raised after that.

    `asyncio.shield` lets the caller go before the work has ended, and anyio's shield does not hold off
    `Task.cancel`.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    # A scope that is cancelled would call again and again while we wait.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancellation = error
    if cancellation is not None:
        if not task.cancelled():
            task.exception()
        raise cancellation
    try:
        return task.result()
    finally:
        # What is raised refers to this frame, and the task to what it raised.
        del task, work


def in_lasting_thread(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Make a call in a thread that lives as long as the process, and wait for it here.

    For what the system binds to the thread that did it. Raises OSError where no thread can be had.
    """
    call: Callable[[], T] = partial(function, *args)
    outcome: Future[T] = Future()
    try:
        _lasting().submit(settle_held, [(outcome, call)])
    except RuntimeError as error:
        # As in `_begun`: it is in the queue, where it must not be found.
        if outcome.cancel():
            raise OSError(errno.EAGAIN, "no thread can be started") from error
    try:
        return outcome.result()
    finally:
        # As in `to_the_end`.
        del outcome, call


@functools.cache
def _lasting() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "lasting")


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """End a task, and wait until it has ended; what it failed with is nobody's business any more."""
    task.cancel()
    await to_the_end(asyncio.wait([task]))
    if not task.cancelled():
        task.exception()


def _begun(call: Callable[[], T]) -> asyncio.Future[T]:
    """A call that a thread makes."""
    outcome: Future[T] = Future()
    try:
        _threads().submit(settle_held, [(outcome, call)])
    except RuntimeError as error:
        # The call waits in the pool's queue all the same, where a thread that becomes free would find it.
        if outcome.cancel():
            message = "The server cannot start another thread at the moment."
            raise MemoryShortError(message, retry_after=_RETRY_SECONDS) from error
    return asyncio.wrap_future(outcome)


def _threads() -> ThreadPoolExecutor:
    """The event loop's own."""
    pool = _pool.get(None)
    if pool is None:
        pool = ThreadPoolExecutor(_MOST_THREADS, "worker")
        _pool.set(pool)
    return pool
