"""Threads are waited for, whoever gives up, and no more of them run than their limit allows."""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
from caravan.runtime.panics import PanicError
from caravan.runtime.threads import in_thread, let_the_loop_through, to_the_end

from tests.panicking import panic
from tests.waiting import PATIENCE, until


class Slow:
    """Work that ends when it is told to, and counts how much of it runs at once."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_ended = False
        self._lock = threading.Lock()
        self.num_running = 0
        self.most_running = 0

    def work(self) -> str:
        with self._lock:
            self.num_running += 1
            self.most_running = max(self.most_running, self.num_running)
        assert self.may_end.wait(PATIENCE)
        with self._lock:
            self.num_running -= 1
        self.has_ended = True
        return "done"


def run(test: Callable[[Slow], Awaitable[None]]) -> None:
    slow = Slow()

    async def body() -> None:
        async with asyncio.timeout(PATIENCE):
            try:
                await test(slow)
            finally:
                slow.may_end.set()

    asyncio.run(body())


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("times", [1, 3])
def test_who_is_cancelled_waits_for_the_thread(times: int) -> None:
    async def test(slow: Slow) -> None:
        task = asyncio.create_task(in_thread(slow.work))
        await until(lambda: slow.num_running == 1)
        for _ in range(times):
            task.cancel()
            await settle()
        assert not task.done()
        slow.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slow.has_ended

    run(test)


def test_a_scope_that_is_cancelled_waits_too_and_without_spinning() -> None:
    async def test(slow: Slow) -> None:
        async def cancel() -> float:
            """Cancel once the work has begun, and let it end a while later; what that took of a processor."""
            await until(lambda: slow.num_running == 1)
            scope.cancel()
            begun = time.thread_time()
            await asyncio.sleep(0.2)
            used = time.thread_time() - begun
            slow.may_end.set()
            return used

        with anyio.CancelScope() as scope:
            cancelling = asyncio.create_task(cancel())
            await in_thread(slow.work)
            await asyncio.sleep(PATIENCE)
        assert scope.cancelled_caught
        assert slow.has_ended
        assert await cancelling < 0.1

    run(test)


def test_a_timeout_waits_too() -> None:
    async def test(slow: Slow) -> None:
        async def limited() -> None:
            async with asyncio.timeout(None) as limit:
                asyncio.create_task(run_out(limit))  # noqa: RUF006 (it has ended before the work has)
                await in_thread(slow.work)

        async def run_out(limit: asyncio.Timeout) -> None:
            await until(lambda: slow.num_running == 1)
            limit.reschedule(0)
            await settle()
            slow.may_end.set()

        with pytest.raises(TimeoutError):
            await limited()
        assert slow.has_ended

    run(test)


def test_the_limit_holds_whoever_gives_up() -> None:
    async def test(slow: Slow) -> None:
        limiter = anyio.CapacityLimiter(3)
        for _ in range(6):
            tasks = [asyncio.create_task(in_thread(slow.work, limiter=limiter)) for _ in range(10)]
            await until(lambda: slow.num_running == 3)
            await settle()
            for task in tasks:
                task.cancel()
            await settle()
        assert slow.most_running == slow.num_running == 3
        slow.may_end.set()
        assert await in_thread(lambda: "next", limiter=limiter) == "next"
        assert slow.most_running == 3

    run(test)


def test_who_has_no_thread_yet_goes_at_once() -> None:
    async def test(slow: Slow) -> None:
        limiter = anyio.CapacityLimiter(1)
        first = asyncio.create_task(in_thread(slow.work, limiter=limiter))
        await until(lambda: slow.num_running == 1)
        second = asyncio.create_task(in_thread(slow.work, limiter=limiter))
        await settle()
        second.cancel()
        await until(second.done)
        assert second.cancelled()
        assert not first.done()
        slow.may_end.set()
        assert await first == "done"

    run(test)


def test_what_fails_is_raised_whatever_it_is() -> None:
    async def test(_slow: Slow) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await in_thread(next, iter(()))
        with pytest.raises(PanicError, match="num_parents"):
            await in_thread(panic)
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0)

    run(test)


def test_work_goes_to_its_end_and_then_the_cancellation_is_raised() -> None:
    async def test(_slow: Slow) -> None:
        done: list[int] = []

        async def work() -> None:
            for number in range(3):
                await asyncio.sleep(0.01)
                done.append(number)

        task = asyncio.create_task(to_the_end(work()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == [0, 1, 2]

    run(test)


def test_busy_threads_make_way_for_the_loop_soon() -> None:
    usual = sys.getswitchinterval()
    try:
        let_the_loop_through()
        assert sys.getswitchinterval() < usual
    finally:
        sys.setswitchinterval(usual)
