"""Turns among owners: their order, and those who wait for them: coroutines, threads, work for a thread."""

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

import pytest
from caravan.runtime import fair_queue
from caravan.runtime.fair_queue import FairLock, FairOrder, FairThread
from caravan.runtime.threads import FairLimiter

from tests.waiting import PATIENCE


def served(requests: Sequence[tuple[str, float, float]]) -> str:
    """The owners of requests that all wait, in the order of their turns; each is (owner, weight, cost)."""
    order = FairOrder()
    waiting = sorted(
        (order.place(owner, weight, cost), number, owner)
        for number, (owner, weight, cost) in enumerate(requests)
    )
    return "".join(owner for _, _, owner in waiting)


def test_one_owner_is_served_in_order_of_arrival() -> None:
    order = FairOrder()
    places = [order.place("a", 1, cost) for cost in (5, 1, 9, 2)]
    assert places == sorted(places)


def test_a_flood_does_not_delay_another_owner() -> None:
    assert served([("a", 1, 10)] * 5 + [("b", 1, 10)] * 2) == "abababa"[:4] + "aaa"


def test_shares_follow_weights() -> None:
    turns = served([("a", 1, 10)] * 8 + [("b", 3, 10)] * 8)
    assert turns[:8].count("b") == 6


def test_costly_requests_count_for_more() -> None:
    turns = served([("a", 1, 40)] * 4 + [("b", 1, 10)] * 8)
    assert turns[:6].count("b") == 4


def test_whoever_was_away_has_no_arrears() -> None:
    order = FairOrder()
    for _ in range(100):
        order.begin(order.place("a", 1, 10))
    place = order.place("b", 1, 10)
    assert place <= order.place("a", 1, 10)
    assert order.place("b", 1, 10) > place


def test_what_never_had_its_turn_is_not_paid_for() -> None:
    order = FairOrder()
    for _ in range(100):
        order.place("a", 2, 10)
    for _ in range(100):
        order.give_back("a", 2, 10)
    order.begin(order.place("b", 1, 10))
    assert order.place("a", 2, 10) == order.virtual_time


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


def test_one_at_a_time_and_nobody_behind_a_flood() -> None:
    lock = FairLock()
    order: list[str] = []
    num_inside = most_inside = 0

    def enter(owner: str) -> None:
        nonlocal num_inside, most_inside
        with lock.held(owner):
            num_inside += 1
            most_inside = max(most_inside, num_inside)
            order.append(owner)
            time.sleep(0.01)
            num_inside -= 1

    with lock.held("first"):
        threads = [threading.Thread(target=enter, args=("a",)) for _ in range(20)]
        threads.append(threading.Thread(target=enter, args=("b",)))
        for thread in threads:
            thread.start()
        while len(lock._waiting._waiting.get("a", ())) < 20 or "b" not in lock._waiting._waiting:
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert most_inside == 1
    assert len(order) == 21
    assert order.index("b") <= 2


def test_a_failure_lets_the_next_one_in() -> None:
    lock = FairLock()
    for _ in range(2):
        try:
            with lock.held("a"):
                raise ValueError
        except ValueError:
            pass
    with lock.held("b"):
        assert lock._is_held


class Held:
    """A thread that is kept busy until `let_go`, so that what is submitted meanwhile waits."""

    def __init__(self) -> None:
        self.thread = FairThread("test")
        self._gate, begun = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            self._gate.wait()

        self.thread.submit(hold, "hold")
        begun.wait()
        self.done: list[str] = []

    def submit(self, name: str) -> "threading.Event":
        ended = threading.Event()

        def work() -> None:
            self.done.append(name)

        future = self.thread.submit(work, name[0])
        future.add_done_callback(lambda _: ended.set())
        return ended

    def let_go(self) -> None:
        self._gate.set()


def test_a_flood_does_not_delay_another_owners_work(monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything takes one second.
    monkeypatch.setattr(fair_queue, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    held = Held()
    ends = [held.submit(f"a{number}") for number in range(50)] + [held.submit(f"b{n}") for n in range(2)]
    held.let_go()
    assert all(end.wait(PATIENCE) for end in ends)
    held.thread.close(wait=True)
    assert [name for name in held.done if name[0] == "a"] == [f"a{number}" for number in range(50)]
    assert held.done.index("b0") <= 1
    assert held.done.index("b1") <= 3


def test_failures_are_told_and_the_thread_goes_on() -> None:
    thread = FairThread("test")

    class Panic(BaseException):
        pass

    def fail() -> None:
        raise Panic

    with pytest.raises(Panic):
        thread.submit(fail).result()
    assert thread.submit(lambda: 5).result() == 5
    thread.close(wait=True)


def test_what_is_cancelled_is_not_done() -> None:
    held = Held()
    done: list[int] = []
    futures = [held.thread.submit(partial(done.append, number), "a") for number in range(3)]
    assert futures[1].cancel()
    held.let_go()
    futures[2].result()
    assert done == [0, 2]
    held.thread.close(wait=True)


def test_what_waits_when_it_is_closed_is_cancelled() -> None:
    held = Held()
    future = held.thread.submit(lambda: 5, "a")
    held.thread.close(wait=False)
    with pytest.raises(CancelledError):
        future.result()
    held.let_go()
