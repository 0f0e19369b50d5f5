"""Coroutines that wait for a place."""

import asyncio

import pytest
from caravan.runtime.sharing.fair_limiter import FairLimiter

from tests.waiting import PATIENCE


def test_so_many_at_once_and_nobody_behind_a_flood() -> None:
    async def main() -> None:
        limiter = FairLimiter(2)
        order: list[str] = []
        num_inside = most = 0

        async def enter(owner: str) -> None:
            nonlocal num_inside, most
            async with limiter.held(owner):
                num_inside += 1
                most = max(most, num_inside)
                order.append(owner)
                await asyncio.sleep(0.005)
                num_inside -= 1

        await asyncio.gather(*(enter("a") for _ in range(20)), enter("b"))
        assert (most, len(order)) == (2, 21)
        assert order.index("b") <= 4

    asyncio.run(main())


def test_whoever_leaves_gives_the_place_on() -> None:
    async def main() -> None:
        limiter = FairLimiter(1)
        inside = asyncio.Event()

        async def enter(owner: str, seconds: float) -> None:
            async with limiter.held(owner):
                inside.set()
                await asyncio.sleep(seconds)

        first = asyncio.create_task(enter("a", 60))
        await inside.wait()
        waiting = [asyncio.create_task(enter(owner, 0)) for owner in "abc"]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()
        await asyncio.sleep(0)
        # The next one has been given its turn, and leaves before it takes it.
        for task in waiting[1:2]:
            task.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(first, *waiting, return_exceptions=True)
            async with limiter.held("d"):
                pass
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]

    asyncio.run(main())
