"""Who computes what in the next step."""

from collections.abc import Callable

from caravan.config.engine_config import EngineConfig
from caravan.engine.adapter_turns import AdapterTurns
from caravan.engine.forced_runs import forced_runs
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.media.keys import num_whole
from caravan.engine.media.turns import MediaTurns, piece_of
from caravan.engine.prefill_budget import BACKGROUND_SECONDS, PrefillBudget
from caravan.engine.prompt_chunks import PromptChunks
from caravan.engine.running_shares import RunningShares
from caravan.engine.sequence import Sequence
from caravan.engine.sequence_status import SequenceStatus
from caravan.engine.waiting_queue import WaitingQueue
from caravan.engine.work import Work, usual_step
from caravan.runtime.fair_queue import FairOrder

# Waiting for a neighbour's prefix costs a step or two; shorter ones are quicker computed again.
_MIN_AWAITED_PREFIX = 16
# Cells kept free per running sequence at admission, so that the next steps need no preemption.
_GROWTH_RESERVE = 8
# So many sequences of other owners may come before one for which there is no room yet.
_MAX_OVERTAKING = 16


class Scheduler:
    """Two lists: `waiting` by turn, `running` with memory. Preemption is going back to waiting.

    Where several owners want to run, each has a share of places and cells, and of the tokens of prompts that
    a step computes. Whoever has more makes way, as soon as one comes who has less.

    Background work is computed in steps in which nobody waits, keeps its memory while others run, and gives
    it up as soon as one of them has no room.

    `fill` may begin to bring what a sequence misses from elsewhere, when it has got memory.
    """

    def __init__(
        self,
        config: EngineConfig,
        kv_cache: KVCache,
        fill: Callable[[Sequence], None] = lambda _sequence: None,
        *,
        has_tiles: bool,
    ) -> None:
        self._fill = fill
        self._config = config
        self._has_tiles = has_tiles
        self._chunks = PromptChunks(config, kv_cache.checkpoints.num_until_stop, has_tiles=has_tiles)
        self._kv_cache = kv_cache
        self._prefill_budget = PrefillBudget(config.step_seconds, has_tiles=has_tiles)
        self._background_budget = PrefillBudget(min(BACKGROUND_SECONDS, config.step_seconds))
        self.waiting = WaitingQueue()
        self.running: list[Sequence] = []
        self.num_preemptions = 0
        self._num_overtaking = 0
        self._adapter_turns = AdapterTurns()
        self._media_turns = MediaTurns()
        self._prompt_order = FairOrder()
        self._background_order = FairOrder()

    @property
    def has_work(self) -> bool:
        """Whether a step would have anything to do."""
        return self.waiting.has_ready or bool(self.running)

    @property
    def has_live(self) -> bool:
        """Whether anybody waits for a step, background work aside."""
        return self.waiting.has_live or any(not s.is_background for s in self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.waiting.add(sequence)

    @property
    def unfinished(self) -> list[Sequence]:
        """All that run and all that wait."""
        return [*self.running, *self.waiting]

    def find(self, request_id: str) -> list[Sequence]:
        """Find all unfinished choices of a request."""
        return [s for s in self.unfinished if s.request.id == request_id]

    def end_thoughts(self, request_id: str) -> None:
        """Have all choices of a request that are thinking begin to answer."""
        for sequence in self.find(request_id):
            sequence.sampler.end_thoughts()

    def schedule(self, *, has_live_beside: bool = False) -> list[Work]:
        """Admit whom there is room for, then hand out the budget: fewest missing tokens first, of who has had
        the least of it where there are several owners. Running streams get their token in every step that is
        theirs, and those that were forced with it; prompts what is left. With `has_live_beside`, background
        work waits.
        """
        if not self.waiting.has_ready and (usual := usual_step(self.running)) is not None:
            return usual
        self._admit(has_live_beside=has_live_beside)
        computing = self._computing(has_live_beside=has_live_beside)
        ready = self._adapter_turns.choose(computing)
        ready, looking = self._media_turns.choose(ready, lambda s: self._order_of(s).start(s.owner))
        if looking is not None:
            return self._image(looking, computing)
        ready = sorted(ready, key=lambda s: (s.num_missing_tokens, s.arrival))
        decodes = [s for s in ready if s.num_missing_tokens == 1 and not s.has_many_untold_scores]
        prompts = [s for s in ready if s.num_missing_tokens > 1]
        prompts.sort(key=lambda s: self._order_of(s).start(s.owner))
        num_rows = self._config.batch_size
        if ready and ready[0].is_background:
            num_rows = min(num_rows, self._background_budget.prompt_budget())
            # The oldest come to their end, and prompts go on.
            decodes = decodes[: num_rows // 2 if prompts else num_rows]
        budget = num_rows - len(decodes)
        runs, prompts, budget = forced_runs(prompts, budget)
        streams = [Work(s, 1, completes=True) for s in decodes] + runs
        if prompts and any(s.is_streaming and not s.is_background for s in computing):
            budget = min(budget, self._prefill_budget.prompt_budget(0 if self._has_tiles else len(decodes)))
        streams, chunks = self._chunks.take_turns(streams, self._chunks.split(prompts, budget))
        self._charge(chunks)
        self._adapter_turns.note(ready, computing)
        return streams + chunks

    def _image(self, sequence: Sequence, computing: list[Sequence]) -> list[Work]:
        """A step of an image, as long as one of prompts would be."""
        budget, is_background = self._config.batch_size, sequence.is_background
        if is_background or any(s.is_streaming and not s.is_background for s in computing):
            clock = self._background_budget if is_background else self._prefill_budget
            budget = min(budget, clock.prompt_budget())
        work = [piece_of(sequence, budget)]
        self._charge(work)
        self._adapter_turns.note([sequence], computing)
        return work

    def observe(self, work: list[Work], num_rows: int, seconds: float) -> None:
        """Learn from a step how long so many rows take: of background work from each, else from prompts."""
        if work[0].sequence.is_background:
            self._background_budget.observe(num_rows, seconds)
        elif any(item.num_tokens > 1 for item in work):
            self._prefill_budget.observe(num_rows, seconds)

    def preempt_one(self) -> Sequence:
        """Send a running sequence back to waiting for the sake of the others; it frees its memory."""
        sequence = self._shares(self.running).to_preempt()
        self._preempt(sequence)
        return sequence

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        assert sequence.seq_id is not None
        self._kv_cache.discard(sequence.seq_id)
        _release(sequence)
        sequence.num_computed_tokens = 0
        self.num_preemptions += 1
        self.add(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a finished sequence out; its memory becomes idle and stays warm."""
        if sequence.status is SequenceStatus.RUNNING:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        if sequence.seq_id is not None:
            # What only labels have is not asked for again, and many would take ids from others' prefixes.
            probes = sequence.request.probes
            self._kv_cache.retire(sequence.seq_id, len(probes) + 1 if probes else 0)
            _release(sequence)
        sequence.status = SequenceStatus.FINISHED

    def _computing(self, *, has_live_beside: bool) -> list[Sequence]:
        live = [s for s in self.running if not s.is_background]
        computing = live if live or has_live_beside else self.running
        return [s for s in computing if s.filling is None]

    def _order_of(self, sequence: Sequence) -> FairOrder:
        return self._background_order if sequence.is_background else self._prompt_order

    def _admit(self, *, has_live_beside: bool) -> None:
        for sequence in self.waiting.in_turn():
            if sequence.is_background and (has_live_beside or self.has_live):
                return
            if self._wait_for_prefix(sequence):
                continue
            if not self._begin(sequence):
                self._admit_others(sequence)
                return
            self._num_overtaking = 0

    def _admit_others(self, blocked: Sequence) -> None:
        """Let owners who stay within their shares come before one for whom there is no room."""
        for sequence in self.waiting.first_of_others(blocked):
            if self._num_overtaking >= _MAX_OVERTAKING:
                return
            if self._shares(self.running, sequence).has_right() and not self._wait_for_prefix(sequence):
                self._num_overtaking += self._begin(sequence)

    def _begin(self, sequence: Sequence) -> bool:
        """Let a sequence run, if there is room or it has a right to some; whether it does."""
        if not self._make_way(sequence):
            return False
        allocation = self._kv_cache.allocate(sequence.matchable_tokens, sequence.scope, sequence.owner)
        if allocation is None:
            return False
        self.waiting.begin(sequence)
        self.running.append(sequence)
        sequence.status = SequenceStatus.RUNNING
        sequence.seq_id = allocation.seq_id
        sequence.begin(allocation.num_cached_tokens, allocation.num_fetched_tokens)
        self._fill(sequence)
        return True

    def _make_way(self, sequence: Sequence) -> bool:
        """Whether a sequence can run now, after preempting those of an owner who has more than its share."""
        # None is preempted in vain: it would come back in the next step, and go again.
        staying, going = list(self.running), list[Sequence]()
        while not self._has_place(sequence, staying):
            other = self._to_make_way(sequence, staying)
            if other is None:
                return False
            staying.remove(other)
            going.append(other)
        for other in going:
            self._preempt(other)
        return True

    def _to_make_way(self, sequence: Sequence, running: list[Sequence]) -> Sequence | None:
        """Choose who goes for a newcomer: the newest of the background, then of who has more than a share."""
        background = [other for other in running if other.is_background]
        if background and not sequence.is_background:
            return background[-1]
        shares = self._shares(running, sequence)
        return shares.to_make_way() if shares.has_right() else None

    def _shares(self, running: list[Sequence], newcomer: Sequence | None = None) -> RunningShares:
        return RunningShares(running, self._config.max_running, max(1, self._config.num_cells), newcomer)

    def _has_place(self, sequence: Sequence, running: list[Sequence]) -> bool:
        if len(running) >= self._config.max_running:
            return False
        return not running or self._has_room(sequence, running)

    def _has_room(self, sequence: Sequence, running: list[Sequence]) -> bool:
        promised = sum(s.num_missing_tokens + _GROWTH_RESERVE for s in running)
        known = sequence.matchable_tokens
        needed = self._kv_cache.num_new_cells(known, sequence.scope) + _GROWTH_RESERVE
        needed += sequence.num_tokens - len(known)
        holding = [s.seq_id for s in running if s.seq_id is not None]
        has_cells = needed + promised <= self._kv_cache.num_spare_cells(holding)
        lengths = (s.num_tokens + _GROWTH_RESERVE for s in (*running, sequence))
        return has_cells and self._kv_cache.windows.fit(lengths)

    def _wait_for_prefix(self, sequence: Sequence) -> bool:
        """Leave a prefix to a running neighbour that is about to compute it, so that this sequence can then
        share it; whether there is one.
        """
        if len(self.running) >= self._config.max_running:
            return False
        if sequence.scores is not None:
            sequence.scores.recall()
        if not self._kv_cache.shares_prefixes:
            return False
        have = None
        for other in self.running:
            shareable = sequence.scope.num_shareable(other.scope)
            if other.num_missing_tokens <= 1 or shareable <= other.num_computed_tokens:
                continue
            if not _is_served(sequence, other):
                continue
            shared = common_prefix(other.token_ids, sequence.token_ids)
            shared = min(shared, sequence.num_sparable_tokens, shareable)
            shared = num_whole(sequence.token_ids, shared)
            if shared <= other.num_computed_tokens:
                continue
            if have is None:
                have = self._kv_cache.num_known(sequence.matchable_tokens, sequence.scope)
            if shared - have >= _MIN_AWAITED_PREFIX:
                self._kv_cache.checkpoints.stop_at(other.seq_id, shared)
                return True
        return False

    def _charge(self, chunks: list[Work]) -> None:
        """Note what owners have had of the budget, while several want some of it."""
        if not chunks or len({s.owner for s in self.running}) < 2:
            return
        for work in chunks:
            owner, weight = work.sequence.owner, work.sequence.weight
            order = self._order_of(work.sequence)
            order.begin(order.place(owner, weight, work.num_tokens))


def _release(sequence: Sequence) -> None:
    """Note that a sequence has no memory any more, nor anything coming there."""
    sequence.seq_id = None
    if sequence.filling is not None:
        sequence.filling.stop()
        sequence.filling = None


def _is_served(sequence: Sequence, other: Sequence) -> bool:
    """Tell whether another may spare a sequence work, and does not stand still as long as that one waits."""
    return sequence.can_use(other) and (sequence.is_background or not other.is_background)
