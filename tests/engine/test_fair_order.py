"""Turns among owners."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from server.engine.fair_order import FairOrder
from server.engine.outputs import FinishReason
from tests.engine.harness import Harness, request
from tests.fakes import FakeContext


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


def order_of_turns(requests: Sequence[tuple[str, dict[str, object]]]) -> list[str]:
    """Names of requests that arrive together at an engine that runs one at a time, by their first words."""
    harness = Harness(FakeContext(end_weight=0.0), max_running=1)
    made = [request(name, range(number * 9, number * 9 + 8)) for number, (name, _) in enumerate(requests)]
    harness.run(msgspec.structs.replace(r, **fields) for r, (_, fields) in zip(made, requests, strict=True))
    return list(dict.fromkeys(output.request_id for output in harness.outputs))


def test_the_engine_gives_turns_by_owner() -> None:
    flood: list[tuple[str, dict[str, object]]] = [(f"a{number}", {"owner": "a"}) for number in range(4)]
    assert order_of_turns([*flood, ("b0", {"owner": "b"})]) == ["a0", "b0", "a1", "a2", "a3"]


def test_the_engine_gives_turns_by_priority_first() -> None:
    requests: list[tuple[str, dict[str, object]]] = [
        ("low", {"priority": -1}),
        ("usual", {}),
        ("high", {"owner": "b", "priority": 1}),
    ]
    assert order_of_turns(requests) == ["high", "usual", "low"]


def test_whoever_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    harness = Harness(FakeContext(end_weight=0.0), max_running=1, queue_seconds=20.0)
    harness.run([request("running", range(10), max_tokens=100), request("queued", range(50, 90))])
    assert harness.reasons() == {("running", 0): [FinishReason.LENGTH], ("queued", 0): [FinishReason.EXPIRED]}
