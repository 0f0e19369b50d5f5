"""What an engine has done since its start."""

from dataclasses import dataclass

from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.outputs import EngineStats
from caravan.engine.scheduler import Scheduler


@dataclass
class Totals:
    """Tokens of prompts, those of them found in memory, tokens of answers; steps with work in them."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    steps: int = 0

    def books(self, scheduler: Scheduler, kv_cache: KVCache, num_cells: int) -> EngineStats:
        """All that an engine tells of itself."""
        return EngineStats(
            num_waiting=len(scheduler.waiting),
            num_running=len(scheduler.running),
            num_idle_sequences=kv_cache.num_idle,
            num_cells=num_cells,
            num_cells_used=kv_cache.num_cells_used,
            num_parked_tokens=kv_cache.num_parked_tokens,
            num_prompt_tokens=self.prompt,
            num_cached_tokens=self.cached,
            num_completion_tokens=self.completion,
            num_preemptions=scheduler.num_preemptions,
            num_evictions=kv_cache.num_evictions,
            num_steps=self.steps,
        )
