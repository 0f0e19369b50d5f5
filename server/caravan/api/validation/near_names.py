"""Which known name a misspelt field probably means.

Counts slips instead of asking `difflib`, whose ratio calls words alike that are different fields. What a
client adds tomorrow must not be taken for a slip.
"""

import re
from collections.abc import Set
from functools import lru_cache

# Longer names are compared by their beginnings.
_LONGEST = 64
_JOINTS = re.compile(r"[-_. ]")


def nearest(name: str, known: Set[str]) -> str | None:
    """Find the known name that is meant: one with the same letters, or one or two slips away.

    Case, underscores and hyphens do not count.
    """
    return _nearest(_letters(name), frozenset(known))


@lru_cache(maxsize=1024)
def _nearest(written: str, known: frozenset[str]) -> str | None:
    found: str | None = None
    least = _slips(written) + 1
    for candidate, letters in _spelt(known):
        count = _distance(written, letters, least - 1)
        if count < least:
            found, least = candidate, count
    return found


@lru_cache(maxsize=64)
def _spelt(known: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _letters(name)) for name in sorted(known))


def _letters(name: str) -> str:
    return _JOINTS.sub("", name[:_LONGEST].casefold())


def _slips(name: str) -> int:
    """Say how many letters may be wrong: in short words each of them makes another word."""
    return 0 if len(name) < 4 else 1 if len(name) < 8 else 2


def _distance(left: str, right: str, limit: int) -> int:
    """Count letters left out, added, exchanged or swapped; more than `limit` is one more."""
    # Tells most pairs of words apart without comparing them place by place.
    if sum(abs(left.count(letter) - right.count(letter)) for letter in {*left, *right}) > 2 * limit:
        return limit + 1
    two_before: list[int] = []
    before = list(range(len(right) + 1))
    for i, letter in enumerate(left, 1):
        row = [i]
        for j, other in enumerate(right, 1):
            count = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == right[j - 2] and other == left[i - 2]:
                count = min(count, two_before[j - 2] + 1)
            row.append(count)
        two_before, before = before, row
    return min(before[-1], limit + 1)
