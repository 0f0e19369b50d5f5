"""What a step of so many rows takes: learned from the steps themselves."""

import bisect
import time
from collections.abc import Callable

# A row more than was ever measured counts as this much of the smallest step, until it is measured: less than
# it takes anywhere, so that a promising size is tried.
_HOPED = 0.15
# A measurement is believed this long: texts grow, and neighbours come and go.
_BELIEVED_SECONDS = 20.0
# A step that took longer than before may have been held up, so it counts for less than one that was quicker.
_MEMORY_OF_SLOWER = 0.5
_MEMORY_OF_FASTER = 0.3


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
        """Estimate what steps of `least` to `most` rows take; None where nothing is known of so few."""
        since = self._now() - _BELIEVED_SECONDS
        known = sorted((rows, seconds) for rows, (seconds, when) in self._seconds.items() if when >= since)
        if not known or known[0][0] > least:
            return None
        sizes = [rows for rows, _ in known]
        return [_between(known, bisect.bisect_right(sizes, rows), rows) for rows in range(least, most + 1)]


def _between(known: list[tuple[int, float]], place: int, num_rows: int) -> float:
    """A straight line between the sizes beside a number of rows, `place` of which are no larger."""
    rows, seconds = known[place - 1]
    if place == len(known):
        smallest, at_least = known[0]
        return seconds + (num_rows - rows) * _HOPED * at_least / smallest
    more, then = known[place]
    return seconds + (num_rows - rows) * (then - seconds) / (more - rows)
