"""Who gets a place where there are not enough for everybody."""

import random
from collections import Counter

from caravan.runtime.shared_limit import Place, SharedLimit


class ConnectionLimiter:
    """Requests at a limit, by their names, which begin with their owner's."""

    def __init__(self, capacity: int) -> None:
        self.limit = SharedLimit(capacity)
        self.places: dict[str, Place] = {}

    def enter(self, name: str, amount: int = 1, weight: float = 1.0) -> bool:
        place = self.limit.enter(name[0], lambda: self.places.pop(name), amount=amount, weight=weight)
        if place is not None:
            self.places[name] = place
        return place is not None

    def held(self) -> dict[str, int]:
        return dict(Counter(place.owner for place in self.places.values()))


def filled(capacity: int) -> ConnectionLimiter:
    crowd = ConnectionLimiter(capacity)
    assert all(crowd.enter(f"a{number}") for number in range(capacity))
    return crowd


def test_whoever_is_alone_may_use_all_of_it() -> None:
    crowd = filled(8)
    assert not crowd.enter("a8")
    crowd.places.pop("a0").leave()
    assert crowd.enter("a8")


def test_the_newest_of_who_has_too_much_gives_way() -> None:
    crowd = filled(4)
    assert crowd.enter("b0")
    assert crowd.enter("b1")
    assert set(crowd.places) == {"a0", "a1", "b0", "b1"}
    assert not crowd.enter("b2"), "that would be more than a share"
    assert not crowd.enter("a4")


def test_shares_follow_weights() -> None:
    crowd = filled(8)
    assert [crowd.enter(f"b{number}", weight=3) for number in range(7)] == [True] * 6 + [False]
    assert crowd.held() == {"a": 2, "b": 6}


def test_what_has_settled_stays() -> None:
    crowd = filled(4)
    for name in ("a2", "a3"):
        crowd.places[name].settle()
    assert crowd.enter("b0")
    assert crowd.enter("b1")
    assert set(crowd.places) == {"a2", "a3", "b0", "b1"}
    for name in ("a2", "a3"):
        crowd.places[name].leave()
        crowd.places.pop(name).leave()
    assert [crowd.enter(f"c{number}") for number in range(3)] == [True, True, False]


def test_nobody_gives_way_in_vain() -> None:
    crowd = filled(4)
    for name in ("a0", "a1", "a2"):
        crowd.places[name].settle()
    assert not crowd.enter("b0", amount=2)
    assert len(crowd.places) == 4


def test_nobody_within_their_share_ever_gives_way() -> None:
    rng = random.Random(7)
    crowd = ConnectionLimiter(30)
    for step in range(3000):
        owner = rng.choice("aaaaaabbc")
        before = crowd.held()
        name = f"{owner}{step}"
        if rng.random() < 0.4 and crowd.places:
            crowd.places.pop(rng.choice(list(crowd.places))).leave()
            continue
        has_entered = crowd.enter(name)
        assert sum(crowd.held().values()) <= 30
        present = before.keys() | {owner}
        share = 30 / len(present)
        losers = [other for other in before if crowd.held().get(other, 0) < before[other]]
        assert all(before[other] > share for other in losers)
        if not has_entered:
            assert before.get(owner, 0) + 1 > share


def test_whether_there_is_room_is_asked_without_taking_any() -> None:
    crowd = filled(4)
    assert not crowd.limit.has_room("a")
    assert crowd.limit.has_room("b", amount=2)
    assert not crowd.limit.has_room("b", amount=3)
    assert len(crowd.places) == 4
