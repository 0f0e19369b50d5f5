"""Turns among owners."""

from collections.abc import Sequence

from caravan.runtime.sharing.fair_order import FairOrder


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
