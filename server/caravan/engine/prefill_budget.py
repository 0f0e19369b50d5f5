"""How many prompt tokens a step computes, learned from the steps themselves, and of which prompts."""

import itertools
import time
from collections.abc import Callable

from caravan.config.engine_config import EngineConfig
from caravan.engine.sequence import Sequence, Work

# From so many rows on, attention on a processor takes them in tiles of so many, unless it is ours; fewer are
# taken one by one. A tile looks at the cells of every sequence that has a row in it, with all of its rows. So
# it should belong to one prompt, and where many cells are in use, rows that are no full tile cost more than
# one.
TILE = 64
# With no more cells than this to look at, rows one by one are quick.
_FEW_CELLS = 2 * TILE

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


class PromptChunks:
    """The next pieces of prompts. The prompt that arrived first has a quarter of each step for sure, so that
    shorter ones cannot starve it.

    Where attention `has_tiles`, streams and large pieces take turns, a step each: in a tile together they
    would look at each other's cells. There the first prompt has a quarter of the steps, since a quarter of
    each would be no whole tile.
    """

    def __init__(self, config: EngineConfig, *, has_tiles: bool) -> None:
        self._batch_size = config.batch_size
        self._num_scored_rows = config.num_scored_rows
        self._has_tiles = has_tiles
        self._is_turn_of_prompts = False
        self._num_turns = 0

    def split(self, prompts: list[Sequence], budget: int) -> list[Work]:
        """Split a token budget over prompts, which are sorted by who comes first."""
        if not prompts or budget <= 0:
            return []
        oldest = min(prompts, key=lambda s: s.arrival)
        reserved = 0
        if not self._has_tiles:
            reserved = min(oldest.num_missing_tokens, max(1, budget // 4))
        elif self._num_turns % 4 == 0:
            prompts = [oldest, *(s for s in prompts if s is not oldest)]
        rows = _share_rows(prompts, self._num_scored_rows)
        may_exceed = budget + TILE <= self._batch_size
        work = []
        budget -= reserved
        for sequence in prompts:
            own = reserved if sequence is oldest else 0
            size = room = max(budget + own, 0)
            if self._has_tiles:
                missing, start = sequence.num_missing_tokens, sequence.num_computed_tokens
                size = chunk_size(missing, start, room, may_exceed=may_exceed)
                may_exceed = may_exceed and size <= room
            item = _next(sequence, size, rows.get(sequence, 0))
            budget -= item.num_tokens - own
            if item.num_tokens > 0:
                work.append(item)
        return work

    def take_turns(self, streams: list[Work], chunks: list[Work]) -> tuple[list[Work], list[Work]]:
        """Choose what of both a step computes: all, or where they would have tiles together, one of them."""
        self._is_turn_of_prompts = not self._is_turn_of_prompts
        if not (self._has_tiles and streams and chunks):
            return streams, chunks
        if sum(work.num_tokens for work in (*streams, *chunks)) < TILE:
            return streams, chunks
        if not self._is_turn_of_prompts:
            return streams, []
        self._num_turns += 1
        return [], chunks


def chunk_size(num_missing: int, num_computed: int, budget: int, *, may_exceed: bool) -> int:
    """Choose how many of a prompt's missing tokens come next, so that whole tiles are left for later.

    The odd ones go first, or beside a tile where there are many cells already, which takes up to a tile more
    than the budget if it `may_exceed` that.
    """
    if num_missing <= budget or budget < TILE:
        return min(num_missing, max(budget, 0))
    size = budget - (budget - num_missing) % TILE
    if size < TILE and num_computed > _FEW_CELLS and may_exceed:
        return size + TILE
    return size or budget


def _share_rows(prompts: list[Sequence], num_rows: int) -> dict[Sequence, int]:
    """Split rows of logits evenly over the prompts that want any, and give none to those that came late."""
    wanting = sorted((s for s in prompts if s.wants_scores), key=lambda s: s.arrival)[:num_rows]
    return {sequence: num_rows // len(wanting) for sequence in wanting}


def _next(sequence: Sequence, budget: int, num_rows: int) -> Work:
    """The next tokens of a prompt, as many as the budget and the rows allow; perhaps none."""
    missing, start = sequence.num_missing_tokens, sequence.num_computed_tokens
    num_tokens = min(missing, budget)
    if sequence.scores is None:
        return Work(sequence, num_tokens, completes=num_tokens == missing)
    fitting = sequence.scores.num_fitting(start, num_rows)
    num_tokens = num_tokens if fitting is None else min(num_tokens, fitting)
    if sequence.has_many_untold_scores:
        num_tokens = min(num_tokens, missing - 1)
    num_scored = sequence.scores.num_rows(start, num_tokens)
    return Work(sequence, num_tokens, completes=num_tokens == missing, num_scored=num_scored)
