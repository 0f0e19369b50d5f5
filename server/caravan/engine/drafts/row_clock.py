"""What a step of so many rows takes: learned from the steps themselves."""

import bisect
import math
import time
from collections.abc import Callable

# While nothing is known of larger steps, a row more counts as this share of a row, for a few rows: less than
# it takes anywhere but on a GPU, so that they are tried once.
_HOPED = 0.15
_FEW_ROWS = 3
# Beyond the largest step that was measured, a row counts as what rows took on the way there, or as this share
# of a row of the smallest, if that is less: kernels take rows in groups, and the next may be a full one.
_FAIR = 0.5
# Sizes that were never measured are tried up to this times the largest that was.
_REACH = 2
# A measurement is believed this long: texts grow, and neighbours come and go.
_BELIEVED_SECONDS = 20.0
# A step that took longer than before may have been held up, so it counts for less than one that was quicker.
_MEMORY_OF_SLOWER = 0.8
_MEMORY_OF_FASTER = 0.4


class RowClock:
    """Remembers what steps of streams took by their number of rows, and estimates those between."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds: dict[int, tuple[float, float]] = {}

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step of so many rows."""
        old, when = self._seconds.get(num_rows, (0.0, float("-inf")))
        if self._now() - when <= _BELIEVED_SECONDS:
            memory = _MEMORY_OF_SLOWER if seconds > old else _MEMORY_OF_FASTER
            seconds = memory * old + (1 - memory) * seconds
        self._seconds[num_rows] = (seconds, self._now())

    def curve(self, least: int, most: int) -> list[float] | None:
        """Estimate what steps of `least` to `most` rows take, infinity for those not to be tried yet;
        None where nothing is known of so few.
        """
        since = self._now() - _BELIEVED_SECONDS
        known = sorted((rows, seconds) for rows, (seconds, when) in self._seconds.items() if when >= since)
        if not known or known[0][0] > least:
            return None
        return [_estimate(known, rows, least) for rows in range(least, most + 1)]


def _estimate(known: list[tuple[int, float]], num_rows: int, least: int) -> float:
    """A straight line between the sizes beside a number of rows, or on from the largest."""
    place = bisect.bisect_right(known, (num_rows, math.inf))
    rows, seconds = known[place - 1]
    if place < len(known):
        more, then = known[place]
        return seconds + (num_rows - rows) * (then - seconds) / (more - rows)
    smallest, shortest = known[0]
    each = shortest / smallest
    if rows <= least:
        return seconds + (num_rows - rows) * _HOPED * each if num_rows <= least + _FEW_ROWS else math.inf
    slope = min(_FAIR * each, (seconds - shortest) / (rows - smallest))
    return seconds + (num_rows - rows) * max(0.0, slope) if num_rows <= _REACH * rows else math.inf
