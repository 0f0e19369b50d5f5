"""Of which prompts a step computes the next tokens, and how many of each."""

from collections.abc import Callable
from dataclasses import dataclass

from caravan.config.engine_config import EngineConfig
from caravan.engine.activation import num_until_next
from caravan.engine.media.turns import num_until_image
from caravan.engine.params import AdapterSet
from caravan.engine.prefill_budget import TILE
from caravan.engine.sequence import Sequence
from caravan.engine.work import Work

# With no more cells than this to look at, rows one by one are quick.
_FEW_CELLS = 2 * TILE
# Turns are kept for so many sets of adapters: more than can run at once.
_MAX_SETS = 1024


@dataclass
class _Turns:
    """Whose turn it is in the steps of one set of adapters, and how many were of prompts."""

    is_of_prompts: bool = False
    num_of_prompts: int = 0


class PromptChunks:
    """The next pieces of prompts. The prompt that arrived first has a quarter of each step for sure, so that
    shorter ones cannot starve it.

    Where attention `has_tiles`, streams and large pieces take turns, a step each: in a tile together they
    would look at each other's cells. There the first prompt has a quarter of the steps, since a quarter of
    each would be no whole tile. Each set of adapters has turns of its own, as it has steps of its own.

    A piece ends where its sequence stops for a checkpoint (`Checkpoints.num_until_stop`), before an image,
    and where other adapters begin.
    """

    def __init__(
        self, config: EngineConfig, num_until_stop: Callable[[int | None, int], int], *, has_tiles: bool
    ) -> None:
        self._num_until_stop = num_until_stop
        self._batch_size = config.batch_size
        self._num_scored_rows = config.num_scored_rows
        self._has_tiles = has_tiles
        self._turns: dict[AdapterSet, _Turns] = {}

    def split(self, prompts: list[Sequence], budget: int) -> list[Work]:
        """Split a token budget over prompts, which are sorted by who comes first."""
        if not prompts or budget <= 0:
            return []
        oldest = min(prompts, key=lambda s: s.arrival)
        reserved = 0
        if not self._has_tiles:
            reserved = min(oldest.num_missing_tokens, max(1, budget // 4))
        elif self._turns_of(oldest).num_of_prompts % 4 == 0:
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
            size = min(size, self._num_until_stop(sequence.seq_id, sequence.num_computed_tokens))
            size = min(size, num_until_next(sequence.stages, sequence.num_computed_tokens))
            size = num_until_image(sequence, size) if sequence.media else size
            item = _next(sequence, size, rows.get(sequence, 0))
            budget -= item.num_tokens - own
            if item.num_tokens > 0:
                work.append(item)
        return work

    def take_turns(self, streams: list[Work], chunks: list[Work]) -> tuple[list[Work], list[Work]]:
        """Choose what of both a step computes: all, or where they would have tiles together, one of them."""
        if not (streams or chunks):
            return streams, chunks
        turns = self._turns_of((*streams, *chunks)[0].sequence)
        turns.is_of_prompts = not turns.is_of_prompts
        if not (self._has_tiles and streams and chunks):
            return streams, chunks
        if sum(work.num_tokens for work in (*streams, *chunks)) < TILE:
            return streams, chunks
        if not turns.is_of_prompts:
            return streams, []
        turns.num_of_prompts += 1
        return [], chunks

    def _turns_of(self, sequence: Sequence) -> _Turns:
        if sequence.lora not in self._turns and len(self._turns) >= _MAX_SETS:
            self._turns.clear()
        return self._turns.setdefault(sequence.lora, _Turns())


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
