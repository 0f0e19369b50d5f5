"""What failed in a thread is freed with its error: no cycle is left to the garbage collector.

The collector stops every thread for as long as it takes to free what it found, and a request's body may be
hundreds of thousands of objects.
"""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import pytest
from caravan.runtime.deep_stack import DeepStack
from caravan.runtime.fair_queue import FairThread
from caravan.runtime.threads import in_busy_thread, in_lasting_thread, in_thread, to_the_end


class Body:
    """Stands for all that a call works with."""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def failing() -> tuple[Callable[[], NoReturn], weakref.ref[Body]]:
    """A call that fails, and what tells whether something that it works with is still there."""
    body = Body()

    def call() -> NoReturn:
        refuse(body)

    def refuse(_: Body) -> NoReturn:
        raise ValueError("refused")

    return call, weakref.ref(body)


async def _to_the_end(call: Callable[[], NoReturn]) -> None:
    async def work() -> None:
        call()

    await to_the_end(work())


async def _in_fair_thread(call: Callable[[], NoReturn]) -> None:
    thread = FairThread("test")
    try:
        await asyncio.wrap_future(thread.submit(call))
    finally:
        thread.close(wait=True)


@pytest.mark.parametrize("way", [in_thread, in_busy_thread, _to_the_end, _in_fair_thread])
def test_what_fails_beside_the_event_loop_is_freed(way: Callable[..., Awaitable[None]]) -> None:
    async def main() -> None:
        call, body = failing()
        with pytest.raises(ValueError, match="refused"):
            await way(call)
        del call
        # The loop's own callbacks hold what has just ended until its next turns.
        for _ in range(3):
            await asyncio.sleep(0)
        assert body() is None

    asyncio.run(main())


@pytest.mark.parametrize("way", [in_lasting_thread, lambda call: DeepStack().call(call, 10)])
def test_what_fails_in_a_thread_of_its_own_is_freed(way: Callable[..., object]) -> None:
    call, body = failing()
    with pytest.raises(ValueError, match="refused"):
        way(call)
    del call
    assert body() is None
