"""The series that routers choose a server by, under vLLM's names, which those of llm-d and of the Gateway API
Inference Extension read unless they are told others.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from caravan.engine.block_events import BLOCK_SIZE
from caravan.engine.outputs import EngineStats

_GAUGES: dict[str, tuple[str, Callable[[EngineStats], float]]] = {
    "num_requests_running": ("Choices being computed.", lambda stats: stats.num_live_running),
    "num_requests_waiting": ("Choices waiting to be begun.", lambda stats: stats.num_live_waiting),
    "kv_cache_usage_perc": ("Share of cells that choices being computed hold.", lambda stats: _usage(stats)),
    "gpu_cache_usage_perc": ("The same by its old name.", lambda stats: _usage(stats)),
}


class RouterCollector(Collector):
    """Reads the numbers of engines, each with the name of its model."""

    def __init__(self, engines: Callable[[], Iterable[tuple[str, EngineStats]]]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        """The families of all engines (prometheus_client's protocol)."""
        readings = list(self._engines())
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"vllm:{name}", text, labels=("model_name",))
            for model, stats in readings:
                gauge.add_metric((model,), value(stats))
            yield gauge
        cache = GaugeMetricFamily(
            "vllm:cache_config_info", "Sizes.", labels=("model_name", "block_size", "num_gpu_blocks")
        )
        adapters = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters that run or are waited for, of so many. The value is the time.",
            labels=("model_name", "max_lora", "running_lora_adapters", "waiting_lora_adapters"),
        )
        for model, stats in readings:
            cache.add_metric((model, str(BLOCK_SIZE), str(stats.num_cells // BLOCK_SIZE)), 1)
            lora = ",".join(sorted(stats.running_adapters)), ",".join(sorted(stats.waiting_adapters))
            adapters.add_metric((model, str(stats.num_adapters), *lora), time.time())
        yield from (cache, adapters)


def _usage(stats: EngineStats) -> float:
    """Cells of idle sequences count as free, as cached blocks do with vLLM: they are, for a newcomer."""
    return stats.num_cells_active / max(stats.num_cells, 1)
