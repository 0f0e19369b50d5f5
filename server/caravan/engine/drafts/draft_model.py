"""A small model that guesses for a large one: it reads along, and goes on by itself for a few tokens."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from caravan.engine.drafts.draft_cells import DraftCells, HeldText
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.prefill_budget import PrefillBudget
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus

log = logging.getLogger(__name__)

# How much what was known of a token's time counts beside what it took now.
_MEMORY = 0.8


@dataclass(slots=True, eq=False)
class Reader:
    """One sequence as the draft model knows it: whose prefixes it may share, and what is in cells of it."""

    scope: CacheScope
    text: HeldText | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """At most `most` tokens are wanted after `token_ids`."""

    reader: Reader
    token_ids: list[int]
    most: int


@dataclass(slots=True, eq=False)
class _Going:
    """A want on its way: what is missing of its text in cells, and what is drafted."""

    most: int
    text: HeldText
    missing: list[int]
    drafted: list[int] = field(default_factory=list)


class DraftModel:
    """Drafts the likeliest tokens, for several sequences in one batch. Belongs to the engine's thread.

    A text that it has not read yet is read a piece a step, as far as `step_seconds` allow, and has no draft
    until then. Where cells are short, the texts of others go first; then there is no draft.
    """

    def __init__(
        self, context: DecodingContext, batch_size: int, end_ids: frozenset[int], step_seconds: float
    ) -> None:
        self._context = context
        self._end_ids = end_ids
        self._cells = DraftCells(context)
        self._batch = Batch(batch_size)
        self._budget = PrefillBudget(step_seconds, has_tiles=context.has_tiles)
        # What one more token of each draft took lately; None before the first.
        self.seconds_a_token: float | None = None

    def compute_with(self, num_threads: int) -> None:
        """Compute with so many threads from now on."""
        self._context.compute_with(num_threads)

    def propose_all(self, wants: Sequence[Want]) -> list[list[int]]:
        """Guess for each; the drafts in the order of the wants, empty where there is none."""
        begun = [self._begin(want) for want in wants]
        going = self._read([item for item in begun if item is not None])
        while going:
            going = self._compute([(item, item.drafted[-1:]) for item in going])
        return [[] if item is None else item.drafted for item in begun]

    def _begin(self, want: Want) -> _Going | None:
        if want.most <= 0:
            return None
        token_ids = want.token_ids
        text = want.reader.text = self._cells.hold(want.reader.text, token_ids, want.reader.scope)
        return None if text is None else _Going(want.most, text, token_ids[text.length :])

    def _read(self, begun: list[_Going]) -> list[_Going]:
        """Compute what is missing of texts, the shortest rests first; those that are drafting then."""
        left = min(self._batch.capacity, self._budget.prompt_budget())
        held = self._cells.texts()
        runs = []
        for item in sorted(begun, key=lambda item: len(item.missing)):
            # A text may have gone for the sake of one that came after it.
            if left and item.text in held:
                run, item.missing = item.missing[:left], item.missing[left:]
                left -= len(run)
                runs.append((item, run))
        return self._compute(runs)

    def _compute(self, runs: list[tuple[_Going, list[int]]]) -> list[_Going]:
        """Compute a run of tokens of each; draft the next one of those that miss nothing. Who goes on."""
        runs = self._decoded(runs)
        for item, run in runs:
            self._cells.note(item.text, run)
        complete = [item for item, _ in runs if not item.missing]
        if not complete:
            return []
        # NumPy's argmax of a row takes its first NaN, which is a bad guess and no more.
        likeliest = self._context.logits().argmax(1).tolist()
        return [item for item, token_id in zip(complete, likeliest, strict=True) if self._add(item, token_id)]

    def _add(self, item: _Going, token_id: int) -> bool:
        """Draft a token, unless it is an end; whether another one is wanted."""
        if token_id in self._end_ids:
            return False
        item.drafted.append(token_id)
        return len(item.drafted) < item.most

    def _observe(self, num_runs: int, seconds: float) -> None:
        if self._batch.num_tokens > num_runs:
            self._budget.observe(self._batch.num_tokens, seconds)
            return
        known = seconds if self.seconds_a_token is None else self.seconds_a_token
        self.seconds_a_token = _MEMORY * known + (1 - _MEMORY) * seconds

    def _decoded(self, runs: list[tuple[_Going, list[int]]]) -> list[tuple[_Going, list[int]]]:
        """What of the runs could be computed: fewer, the last ones left out, where there is no room."""
        while runs:
            self._batch.clear()
            for item, run in runs:
                self._batch.add(item.text.seq_id, item.text.length, run, wants_logits=not item.missing)
            started = time.perf_counter()
            status = self._context.decode(self._batch)
            if status is DecodeStatus.OK:
                self._observe(len(runs), time.perf_counter() - started)
                return runs
            if status is DecodeStatus.FAILED:
                log.warning("the draft model could not decode a batch; it begins anew")
                self._cells.clear()
                return []
            if not self._cells.evict_one(keep=[item.text for item, _ in runs]):
                runs = runs[:-1]
        return []
