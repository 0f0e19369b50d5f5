"""Turns scheduled work into computed cells, shedding load while there is no room."""

import time
from collections.abc import Callable
from dataclasses import replace

from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.media.batches import media_batch
from caravan.engine.scheduler import Scheduler
from caravan.engine.sequence import Sequence
from caravan.engine.thread_tuner import StepThreads
from caravan.engine.work import Work
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus
from caravan.llama.model_file import LookAtWeights, Weights


class DecodeFailedError(Exception):
    """llama.cpp failed in the middle of a batch; the memory of all running sequences is lost."""


class BatchRunner:
    """Fills the batch, decodes it, books the result. What the decode returns is the truth about room.

    What was computed with weights which may have been others meanwhile is not booked, but computed again; so
    is background work that was given up in the middle, since somebody has come for whom it makes way.
    `finish_full` ends a sequence that is alone and still finds no room: its context is full.
    """

    def __init__(
        self,
        context: DecodingContext,
        config: EngineConfig,
        kv_cache: KVCache,
        scheduler: Scheduler,
        finish_full: Callable[[Sequence], None],
        look_at_weights: LookAtWeights,
        has_newcomer: Callable[[], bool],
        draft_model: DraftModel | None = None,
    ) -> None:
        self._context = context
        self._kv_cache = kv_cache
        self._scheduler = scheduler
        self._finish_full = finish_full
        self._look_at_weights = look_at_weights
        self._has_newcomer = has_newcomer
        self._batch = Batch(config.batch_size)
        self._threads = StepThreads(context, config, draft_model)

    def decode(self, work: list[Work]) -> list[Work]:
        """Compute the work, or what is left of it after shedding load.

        Returns what of it has rows of logits, in their order. Drafts are in the cells then, and in no book:
        `KVCache.cut` has to follow. Raises DecodeFailedError and
        WeightsChangedError.
        """
        while work:
            if not self._make_room(sum(item.num_cells for item in work)):
                work = self._shed(work)
                continue
            status = self._run(work)
            if status is not DecodeStatus.NO_ROOM and self._look_at_weights() is Weights.SUSPECT:
                status = DecodeStatus.STOPPED
            match status:
                case DecodeStatus.OK:
                    return self._commit(work)
                case DecodeStatus.STOPPED:
                    self._undo(work)
                    return []
                case DecodeStatus.FAILED:
                    raise DecodeFailedError("llama.cpp could not decode a batch")
                case DecodeStatus.NO_ROOM:
                    if not self._kv_cache.evict_one():
                        work = self._shed(work)
        return []

    def _run(self, work: list[Work]) -> DecodeStatus:
        self._context.use_adapters(work[0].sequence.lora)
        is_usual = self._threads.begin(has_prompts=any(item.num_tokens > 1 for item in work))
        num_cells = sum(item.num_cells for item in work)
        started = time.perf_counter()
        run = work[0].run
        status = self._decode(work) if run is None else self._context.decode_media(media_batch(work[0], run))
        ended = time.perf_counter()
        self._threads.end(num_cells, started, ended, is_done=status is DecodeStatus.OK)
        if status is DecodeStatus.OK and is_usual:
            self._scheduler.observe(work, num_cells, ended - started)
        return status

    def _decode(self, work: list[Work]) -> DecodeStatus:
        self._batch.clear()
        for item in work:
            sequence = item.sequence
            assert sequence.seq_id is not None
            start = sequence.num_computed_tokens
            run = [*sequence.token_ids[start : start + item.num_tokens], *item.draft]
            self._batch.add(sequence.seq_id, start, run, wants_logits=item.completes)
            if item.num_scored or item.draft:
                self._batch.mark(item.num_logits)
        gives_way = work[0].sequence.is_background and self._can_undo
        return self._context.decode(self._batch, self._has_newcomer if gives_way else None)

    @property
    def _can_undo(self) -> bool:
        """Whether what was in memory before a decode is there after it."""
        return self._context.can_cut and not self._context.sliding_window

    def _undo(self, work: list[Work]) -> None:
        """Forget what a decode has left of work that is to be done again."""
        if self._can_undo and work[0].run is None:
            for item in work:
                assert item.sequence.seq_id is not None
                self._context.truncate_sequence(item.sequence.seq_id, item.sequence.num_computed_tokens)
            return
        # What was there before the decode is there no longer.
        while self._scheduler.running:
            self._scheduler.preempt_one()
        self._kv_cache.clear()

    def _make_room(self, num_tokens: int) -> bool:
        while self._kv_cache.num_free_cells() < num_tokens:
            if not self._kv_cache.evict_one():
                return False
        return True

    def _shed(self, work: list[Work]) -> list[Work]:
        """Nothing idle is left to evict: give up drafts, else preempt one, or end the only one."""
        if any(item.draft for item in work):
            return [replace(item, draft=()) for item in work]
        if len(self._scheduler.running) > 1:
            victim = self._scheduler.preempt_one()
        else:
            (victim,) = self._scheduler.running
            self._finish_full(victim)
        return [item for item in work if item.sequence is not victim]

    def _commit(self, work: list[Work]) -> list[Work]:
        """Book what was known; of drafts, that is up to the draws."""
        for item in work:
            sequence = item.sequence
            assert sequence.seq_id is not None
            start = sequence.num_computed_tokens
            self._kv_cache.commit(sequence.seq_id, sequence.token_ids[start : start + item.num_tokens])
            sequence.num_computed_tokens += item.num_tokens
        return [item for item in work if item.num_logits]
