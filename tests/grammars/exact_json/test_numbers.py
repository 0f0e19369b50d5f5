"""Regular expressions of large numbers, held against Python's own integers."""

import random
import re

import pytest
from caravan.grammars.exact_json.numbers import LARGE, Bound, admits, bounds, large_pattern, without_large

_EDGES = [LARGE, LARGE + 1, LARGE + 2, 2**60 - 1, 2**63 - 1, 2**63, 2**64, 10**19 - 1, 10**19, 10**30 + 7]


def _ranges() -> list[tuple[int | None, int | None]]:
    rng = random.Random(3)
    edges = [*_EDGES, *(-edge for edge in _EDGES), 0, -5]
    found: list[tuple[int | None, int | None]] = [(None, None), (None, 2**63 - 1), (-(2**63), None)]
    for _ in range(80):
        low, high = sorted(rng.choice(edges) + rng.randrange(-3, 4) for _ in range(2))
        found.append((low, high))
    return found


@pytest.mark.parametrize("ends", _ranges(), ids=str)
def test_exactly_the_large_integers_between_two_match(ends: tuple[int | None, int | None]) -> None:
    low, high = ends
    pattern = re.compile(large_pattern(Bound(low), Bound(high)) or "(?!)")
    rng = random.Random(5)
    near = [edge for edge in (low, high, LARGE, -LARGE) if edge is not None]
    tried = [edge + shift for edge in near for shift in range(-12, 13)]
    tried += [rng.choice((1, -1)) * rng.randrange(10 ** rng.randrange(15, 35)) for _ in range(300)]
    for number in tried:
        is_between = (low is None or number >= low) and (high is None or number <= high)
        is_wanted = is_between and abs(number) > LARGE
        assert (pattern.fullmatch(str(number)) is not None) == is_wanted, number


def test_open_ends_are_left_out() -> None:
    pattern = re.compile(large_pattern(Bound(2**60, is_open=True), Bound(2**60 + 3, is_open=True)))
    assert [n for n in range(2**60 - 5, 2**60 + 9) if pattern.fullmatch(str(n))] == [2**60 + 1, 2**60 + 2]


def test_fractions_stay_between_the_bounds() -> None:
    some = r"(?:\.[0-9]+)?"
    pattern = re.compile(large_pattern(Bound(-(2**60)), Bound(2**60, is_open=True), some))
    for inside in (f"{2**60 - 1}.999", f"-{2**60 - 1}.5", f"-{2**60}"):
        assert pattern.fullmatch(inside)
    for outside in (f"{2**60}", f"{2**60}.1", f"-{2**60}.1", f"{2**60 + 1}"):
        assert not pattern.fullmatch(outside)


@pytest.mark.parametrize(
    ("schema", "low", "high"),
    [
        ({}, Bound(), Bound()),
        ({"minimum": 2**60 + 1, "exclusiveMaximum": 2**60 + 3}, Bound(2**60 + 1), Bound(2**60 + 3, True)),
        ({"exclusiveMinimum": 1.5, "maximum": 1e22}, Bound(1, True), Bound(10**22)),
        ({"minimum": 3, "exclusiveMinimum": 3}, Bound(3, True), Bound()),
        ({"maximum": 3, "exclusiveMaximum": 3.5}, Bound(), Bound(3)),
    ],
)
def test_bounds(schema: dict[str, float], low: Bound, high: Bound) -> None:
    assert bounds(schema) == (low, high)


def test_small_numbers_are_left_to_others() -> None:
    assert without_large({"minimum": 0.5, "maximum": 2**60}) == {"minimum": 0.5, "maximum": LARGE}
    assert without_large({"maximum": -(2**60)}) is None
    assert without_large({"minimum": 2**60, "multipleOf": 2}) is None


def test_large_values_are_held_against_bounds_exactly() -> None:
    assert admits({"minimum": 2**60 + 1, "multipleOf": 0.5}, 2**60 + 1)
    assert not admits({"minimum": 2**60 + 1}, 2**60)
    assert not admits({"exclusiveMaximum": 2**60}, 2**60)
    assert not admits({"multipleOf": 2}, 2**60 + 1)
