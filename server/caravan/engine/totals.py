"""What an engine has done since it was started, and how its books are told."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from caravan.engine.drafts.drafting import DraftCounts
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.disk.disk_cache import DiskCounts
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.outputs import EngineStats
from caravan.engine.scheduler import Scheduler
from caravan.engine.sequence import Sequence

# Where tokens of prompts may be found.
PLACES = ("cells", "parked", "disk")
# Counting the cells of running sequences takes a look at each of them.
_COUNT_SECONDS = 0.1


@dataclass(slots=True)
class Totals:
    """Counts that only grow, and what was last counted of cells."""

    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_completion_tokens: int = 0
    num_steps: int = 0
    num_hits: Counter[str] = field(default_factory=Counter)
    _num_cells_active: int = 0
    _counted_at: float = 0.0
    _running_adapters: dict[str, int] = field(default_factory=dict)
    _waiting_adapters: dict[str, int] = field(default_factory=dict)

    def count_cached(self, sequence: Sequence) -> None:
        """Count what of a prompt was in memory, and where; once, when its answer ends."""
        count = sequence.num_cached_tokens or 0
        self.num_cached_tokens += count
        places = sequence.cached_from
        self.num_hits.update({"cells": count - places.total(), **places})

    def stats(
        self,
        context: DecodingContext,
        kv_cache: KVCache,
        scheduler: Scheduler,
        drafts: DraftCounts,
        disk: DiskCounts,
    ) -> EngineStats:
        """Tell how many of everything there are."""
        now = time.monotonic()
        if now - self._counted_at >= _COUNT_SECONDS or not scheduler.running:
            live = [s.seq_id for s in scheduler.running if s.seq_id is not None and not s.is_background]
            self._num_cells_active = context.num_cells - kv_cache.num_spare_cells(live)
            self._counted_at = now
            self._running_adapters = _adapters_of(scheduler.running) if context.adapters else {}
            self._waiting_adapters = _adapters_of(scheduler.waiting) if context.adapters else {}
        return EngineStats(
            num_waiting=len(scheduler.waiting),
            num_running=len(scheduler.running),
            num_background_waiting=scheduler.waiting.num_background,
            num_background_running=sum(s.is_background for s in scheduler.running),
            num_idle_sequences=kv_cache.num_idle,
            num_cells=context.num_cells,
            num_cells_used=kv_cache.num_cells_used,
            num_cells_active=self._num_cells_active,
            num_offloaded_tokens=kv_cache.num_offloaded_tokens,
            num_checkpoints=kv_cache.checkpoints.num_kept,
            checkpoint_bytes=kv_cache.checkpoints.num_bytes,
            num_checkpoints_used=kv_cache.checkpoints.num_used,
            num_prompt_tokens=self.num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_completion_tokens=self.num_completion_tokens,
            num_preemptions=scheduler.num_preemptions,
            num_evictions=kv_cache.num_evictions,
            num_steps=self.num_steps,
            num_drafted=dict(drafts.proposed),
            num_accepted=dict(drafts.accepted),
            num_hits={place: self.num_hits[place] for place in PLACES},
            num_disk_bytes=disk.num_bytes,
            num_disk_tokens_written=disk.num_written_tokens,
            num_disk_tokens_read=disk.num_read_tokens,
            num_disk_bad_files=disk.num_bad_files,
            num_adapters=len(context.adapters),
            running_adapters=self._running_adapters,
            waiting_adapters=self._waiting_adapters,
        )


def _adapters_of(sequences: Iterable[Sequence]) -> dict[str, int]:
    """Count the choices of each adapter, but for background work."""
    return dict(Counter(name for s in sequences if not s.is_background for name, _ in s.request.lora))
