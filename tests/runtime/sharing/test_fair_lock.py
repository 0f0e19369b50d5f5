"""A lock that owners take in turns."""

import threading
import time

from caravan.runtime.sharing.fair_lock import FairLock


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
