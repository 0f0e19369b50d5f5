"""How many prompt tokens a step computes, learned from the steps themselves."""

import itertools
import time
from collections.abc import Callable

# From so many rows on, attention on a processor takes them in tiles of so many, unless it is ours; fewer are
# taken one by one. A tile looks at the cells of every sequence that has a row in it, with all of its rows. So
# it should belong to one prompt, and where many cells are in use, rows that are no full tile cost more than
# one.
TILE = 64

# Rows of a batch, its decodes included, that are tried and remembered. A row of many costs much less than one
# alone, by a factor of machine and model, so each size is measured, not computed from another.
_SMALL = (16, 32)
_SIZES = (TILE, 96, 128, 160, 192, 256, 384, 512, 1024, 2048)
# So many rows that take this many times the pace are given up for less. Where attention has tiles, fewer than
# a tile take longer than a tile, unless the weights are so large that attention hardly counts.
_TOO_SLOW = 1.5
_TOO_SLOW_TILE = 4.0
# What a size cost is believed this long; then a larger one may be tried again, as neighbours come and go.
_BELIEVED_SECONDS = 10.0
# Steps take longer the further a prompt has come, so what is slower than before counts for more.
_MEMORY = 0.7
_MEMORY_OF_FASTER = 0.3
# A somewhat larger chunk costs at most this much of what its additional tokens would at the smaller one's
# rate; for one that is more than half as large again, that is too bold a guess, and twice as far nothing is
# known.
_ECONOMY = 0.75
_SOMEWHAT = 1.5
_FAR = 2.0
# A size that is not known may be tried, now and then, if it would not take more than this times the pace.
_TRIAL = 1.25
# Steps of background work are short, since whoever comes waits for the end of one.
BACKGROUND_SECONDS = 0.05


class PrefillBudget:
    """Remembers what steps with prompt chunks of several sizes took, and finds the largest in time."""

    def __init__(
        self, step_seconds: float, now: Callable[[], float] = time.monotonic, *, has_tiles: bool = False
    ) -> None:
        self._step_seconds = step_seconds
        self._too_slow = step_seconds * (_TOO_SLOW_TILE if has_tiles else _TOO_SLOW)
        self._now = now
        self._seconds: dict[int, tuple[float, float]] = {}

    def observe(self, num_rows: int, seconds: float) -> None:
        """Learn from a step with a prompt chunk in it; `num_rows` are chunk and decodes together."""
        size = max((size for size in (*_SMALL, *_SIZES) if size <= num_rows), default=0)
        if size:
            old = self._known(size)
            new = seconds * size / num_rows
            if old is not None:
                memory = _MEMORY if new < old else _MEMORY_OF_FASTER
                new = memory * old + (1 - memory) * new
            self._seconds[size] = (new, self._now())

    def prompt_budget(self, num_decodes: int = 0) -> int:
        """Prompt tokens beside so many decodes that keep a step within its time; never none."""
        return max(_SMALL[0], self._num_rows() - num_decodes)

    def _num_rows(self) -> int:
        known = {size: seconds for size in _SIZES if (seconds := self._known(size)) is not None}
        if not known:
            return TILE
        if known.get(TILE, 0.0) > self._too_slow:
            fitting = itertools.takewhile(self._fits, _SMALL)
            return max(fitting, default=_SMALL[0])
        best = TILE
        reference = min(known)
        for size in _SIZES:
            if size in known:
                reference = size
                fits = known[size] <= self._step_seconds
            else:
                growth = size / reference
                economy = _ECONOMY if growth <= _SOMEWHAT else 1.0
                expected = known[reference] * (1 + (growth - 1) * economy)
                fits = growth <= _FAR and expected <= _TRIAL * self._step_seconds
            if fits:
                best = size
        return best

    def _fits(self, size: int) -> bool:
        return (self._known(size) or 0.0) <= self._step_seconds

    def _known(self, size: int) -> float | None:
        """What steps of this size took lately."""
        seconds, when = self._seconds.get(size, (0.0, float("-inf")))
        return seconds if self._now() - when <= _BELIEVED_SECONDS else None
