"""Who waits for whom when bodies are read."""

import asyncio
import threading

from caravan.auth.principal import ANONYMOUS
from caravan.web.request_body import BodyThreads

from tests.waiting import PATIENCE


def test_hundreds_of_small_bodies_let_others_have_their_turn() -> None:
    async def test() -> None:
        lanes, order = BodyThreads(), []

        async def other() -> None:
            for _ in range(3):
                order.append("other")
                await asyncio.sleep(0)

        reading = [
            asyncio.create_task(lanes.at_once(lambda: order.append("body"), ANONYMOUS)) for _ in range(20)
        ]
        beside = asyncio.create_task(other())
        await asyncio.gather(*reading, beside)
        assert order.count("body") == 20
        last = len(order) - 1 - order[::-1].index("other")
        assert order[:last].count("body") < 10

    asyncio.run(test())


def test_a_failure_is_its_own_bodys() -> None:
    async def test() -> None:
        lanes = BodyThreads()

        def fail() -> None:
            raise ValueError

        results = await asyncio.gather(
            lanes.at_once(fail, ANONYMOUS), lanes.at_once(lambda: 1, ANONYMOUS), return_exceptions=True
        )
        assert isinstance(results[0], ValueError)
        assert results[1] == 1

    asyncio.run(test())


def test_a_body_of_megabytes_keeps_no_middling_one_waiting() -> None:
    async def test() -> None:
        lanes, release = BodyThreads(), threading.Event()

        async def read(size: int, is_slow: bool) -> str:
            async with lanes.turn(size, ANONYMOUS):
                return await lanes.run(lambda: "late" if is_slow and release.wait(PATIENCE) else "soon")

        large = [asyncio.create_task(read(4_000_000, True)), asyncio.create_task(read(4_000_000, False))]
        assert await asyncio.gather(*(read(50_000, False) for _ in range(3))) == ["soon"] * 3
        assert not large[0].done()
        assert not large[1].done()
        release.set()
        assert await asyncio.gather(*large) == ["late", "soon"]

    asyncio.run(test())
