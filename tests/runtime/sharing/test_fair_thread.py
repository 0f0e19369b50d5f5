"""One thread for several owners."""

import itertools
import threading
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

import pytest
from caravan.runtime.sharing import fair_thread
from caravan.runtime.sharing.fair_thread import FairThread

from tests.waiting import PATIENCE


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


def test_a_flood_does_not_delay_another_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    # Everything takes one second.
    monkeypatch.setattr(fair_thread, "time", SimpleNamespace(monotonic=itertools.count().__next__))
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
