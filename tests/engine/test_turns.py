"""Who of those that wait has the next turn, and that everybody has one in the end."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, request
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


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


def of(name: str, owner: str = "", priority: int = 0, max_tokens: int = 2) -> GenerationRequest:
    """A request of a few tokens, which are nobody else's."""
    first = sum(map(ord, name)) * 7 % 200
    made = request(name, range(first, first + 8), max_tokens=max_tokens)
    return msgspec.structs.replace(made, owner=owner, priority=priority)


def test_of_nine_turns_one_is_of_a_lower_priority() -> None:
    high: list[tuple[str, dict[str, object]]] = [(f"h{n}", {"priority": 3}) for n in range(24)]
    low: list[tuple[str, dict[str, object]]] = [(f"l{n}", {"priority": -3}) for n in range(3)]
    order = order_of_turns([*low, *high])
    assert [order.index(f"l{n}") for n in range(3)] == [8, 17, 26]


def test_an_owners_own_requests_come_by_priority_and_age_too() -> None:
    """Of one owner, beside another of the highest priority: the lowest are passed by eight at most."""
    own: list[tuple[str, dict[str, object]]] = [
        (f"{name}{n}", {"owner": "a", "priority": priority})
        for name, priority in (("batch", -5), ("chat", 0))
        for n in range(2)
    ]
    order = order_of_turns([*own, *[(f"o{n}", {"owner": "b", "priority": 1}) for n in range(9)]])
    assert [name for name in order if not name.startswith("o")] == ["batch0", "chat0", "chat1", "batch1"]
    assert order.index("batch0") == 8
    assert order_of_turns(own) == ["chat0", "chat1", "batch0", "batch1"]


@pytest.mark.parametrize("max_running", [1, 3])
def test_no_priority_starves_in_a_flood_without_end(max_running: int) -> None:
    """As soon as one ends, two of the highest and one of the lowest come: the queue never gets shorter."""
    harness = Harness(FakeContext(end_weight=0.0), max_running=max_running)
    for item in (of("middle", "m"), of("lowest", "l", -9)):
        harness.engine.submit(item)
    count = itertools.count()

    def flood() -> None:
        number = next(count)
        for item in (of(f"h{number}", "h", 9), of(f"i{number}", "i", 9), of(f"j{number}", "l", -9)):
            harness.engine.submit(item)

    for _ in range(20):
        flood()
    ends: list[str] = []
    while len(ends) < 300 and not {"middle", "lowest"} <= set(ends):
        harness.engine.turn()
        for (name, _), reasons in harness.reasons().items():
            if reasons and name not in ends:
                ends.append(name)
                flood()
    assert ends.index("middle") < 40
    assert ends.index("lowest") < 40


def test_nobody_pays_for_what_never_had_its_turn() -> None:
    """An owner whose many requests were given up, by whomever, is not behind another for them."""
    harness = Harness(FakeContext(end_weight=0.0), max_running=1)
    harness.engine.submit(of("first", "a", max_tokens=30))
    harness.engine.turn()
    for number in range(50):
        harness.engine.submit(of(f"gone{number}", "a", max_tokens=400))
    for number in range(4):
        harness.engine.submit(of(f"b{number}", "b", max_tokens=60))
    harness.engine.turn()
    for number in range(50):
        harness.engine.abort(f"gone{number}")
    for number in range(2):
        harness.engine.submit(of(f"a{number}", "a"))
    harness.finish()
    order = [output.request_id for output in harness.outputs if output.finish_reason is FinishReason.LENGTH]
    assert order.index("a0") < order.index("b1")
    assert order.index("a1") < order.index("b3")


def test_requests_of_one_owner_take_turns() -> None:
    """One of many prompts, and then others of one each: these come after what has begun, in their order."""
    many: list[tuple[str, dict[str, object]]] = [(f"a{number}", {"group": "a"}) for number in range(6)]
    assert order_of_turns([*many, ("b", {}), ("c", {})]) == ["a0", "b", "c", *[f"a{n}" for n in range(1, 6)]]


def test_turns_within_an_owner_cost_no_other_owner_anything() -> None:
    many: list[tuple[str, dict[str, object]]] = [
        (f"a{number}", {"group": "a", "owner": "first"}) for number in range(3)
    ]
    others: list[tuple[str, dict[str, object]]] = [
        ("b", {"owner": "first"}),
        ("x", {"owner": "second"}),
        ("y", {"owner": "second"}),
    ]
    assert order_of_turns([*many, *others]) == ["a0", "x", "b", "y", "a1", "a2"]
