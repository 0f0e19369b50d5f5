"""The server's metrics, for Prometheus. Names are vLLM's with our prefix, where the meaning is the same."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from caravan.engine.outputs import EngineStats
from caravan.observability.router_metrics import RouterCollector

# Upper bounds of the buckets, in seconds: waits of users, and the gaps between two tokens.
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30, 60, 120, 300, 600)
_GAPS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
# And in tokens.
_LENGTHS = tuple(2.0**power for power in range(18))

_MAX_NAMES = 100


@dataclass(frozen=True, kw_only=True)
class EngineReading:
    """One model's engine at the moment of a scrape. `pid` is None while it has no process."""

    model: str
    stats: EngineStats
    num_restarts: int
    pid: int | None


@dataclass(frozen=True, kw_only=True)
class View:
    """What of all series somebody may see: those of `models` (None means all), and, where it is `of_server`,
    those that are about no one model but about everybody's requests.
    """

    models: Collection[str] | None = None
    of_server: bool = True

    def has(self, labels: Mapping[str, str]) -> bool:
        """Say whether a sample with these labels is among them."""
        model = labels.get("model") or labels.get("model_name")
        if not model:
            return self.of_server
        return self.models is None or model in self.models


class Metrics:
    """All series of one server; `engines` is asked at each scrape, for the models that are loaded then."""

    def __init__(self, engines: Callable[[], Iterable[EngineReading]] = tuple) -> None:
        self._engines = engines
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(engines))
        self._registry.register(
            RouterCollector(lambda: [(reading.model, reading.stats) for reading in engines()])
        )
        self._per_model: list[Histogram] = []
        self.queue_time = self._histogram(
            "request_queue_time_seconds", "Time a request waited before its prompt was begun.", _WAITS
        )
        self.time_to_first_token = self._histogram(
            "time_to_first_token_seconds", "Time from a request's arrival to its first token.", _WAITS
        )
        self.e2e_latency = self._histogram(
            "e2e_request_latency_seconds", "Time from a request's arrival to the end of its answer.", _WAITS
        )
        self.inter_token = self._histogram(
            "inter_token_latency_seconds", "Time a stream waits for its next token.", _GAPS
        )
        self.prompt_length = self._histogram("request_prompt_tokens", "Tokens of a prompt.", _LENGTHS)
        self.answer_length = self._histogram("request_generation_tokens", "Tokens of an answer.", _LENGTHS)
        self.finished = self._counter(
            "request_success", "Answers that came to their end.", ("model", "finished_reason")
        )
        self.aborted = self._counter("requests_aborted", "Requests whose client left.", ("model",))
        self.constraint_violations = self._counter(
            "constraint_violations", "Answers that broke their constraint, a fault of ours.", ("model",)
        )
        self.http_requests = self._counter(
            "http_requests", "Requests answered.", ("method", "route", "status")
        )
        self.http_errors = self._counter("http_errors", "Errors told to clients.", ("code",))
        self.ignored_fields = self._counter(
            "ignored_fields", "Fields of requests that had no effect.", ("field",)
        )
        self.batches = Gauge(
            "caravan_batches", "Batches that are not finished.", ("status",), registry=self._registry
        )
        self.batches_ended = self._counter("batches_ended", "Batches that have ended.", ("status",))
        self._batch_lines = self._counter("batch_lines", "Lines of batches that were answered.", ("outcome",))
        self._ignored_names: set[str] = set()

    def count_error(self, code: str) -> None:
        """Count an error that a client was told."""
        self.http_errors.labels(code).inc()

    def count_ignored(self, name: str) -> bool:
        """Count a field that had no effect; whether it is the first of its name.

        Clients choose the names, so only so many are told apart.
        """
        is_new = name not in self._ignored_names and len(self._ignored_names) < _MAX_NAMES
        if is_new:
            self._ignored_names.add(name)
        self.ignored_fields.labels(name if name in self._ignored_names else "other").inc()
        return is_new

    def count_batch_line(self, is_error: bool) -> None:
        """Count a line of a batch that has been answered."""
        self._batch_lines.labels("failed" if is_error else "completed").inc()

    def render(self, accept: str, view: View) -> tuple[bytes, str]:
        """Write what `view` has of the series, in the text format that `accept` (an HTTP header) prefers.

        Returns the text and its content type.
        """
        for reading in self._engines():
            self._begin(reading.model)
        encode, content_type = choose_encoder(accept)
        return encode(_Shown(self._registry, view)), content_type

    def _begin(self, model: str) -> None:
        """Show a model's series from zero on: what appears with its first value has no rate."""
        for metric in (*self._per_model, self.aborted, self.constraint_violations):
            metric.labels(model)
        for reason in ("stop", "length"):
            self.finished.labels(model, reason)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"caravan_{name}", text, ("model",), registry=self._registry, buckets=buckets)
        self._per_model.append(histogram)
        return histogram

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"caravan_{name}", text, labels, registry=self._registry)


# Attribute of EngineStats, name and meaning of its series.
_GAUGES = {
    "num_running": ("num_requests_running", "Choices being computed."),
    "num_waiting": ("num_requests_waiting", "Choices waiting to be begun."),
    "num_background_running": ("num_background_running", "Of those being computed, choices of batches."),
    "num_background_waiting": ("num_background_waiting", "Of those waiting, choices of batches."),
    "num_idle_sequences": ("num_idle_sequences", "Finished sequences kept for their prefixes."),
    "num_cells": ("kv_cells", "Tokens that fit into memory."),
    "num_cells_used": ("kv_cells_used", "Tokens in memory, those of idle sequences included."),
    "num_offloaded_tokens": ("host_cache_tokens", "Tokens of sequences in the host cache."),
    "num_disk_bytes": ("disk_cache_bytes", "Bytes on the disk, of all models."),
    "num_checkpoints": ("checkpoints", "Places in texts that can be gone on from, where memory is not cut."),
    "checkpoint_bytes": ("checkpoint_bytes", "Memory that they take."),
}
_COUNTERS = {
    "num_prompt_tokens": ("prompt_tokens", "Tokens of all prompts."),
    "num_cached_tokens": ("cached_tokens", "Of them those that were not computed."),
    "num_completion_tokens": ("generation_tokens", "Tokens drawn."),
    "num_preemptions": ("num_preemptions", "Choices put back into the queue to make room."),
    "num_evictions": ("num_evictions", "Idle sequences dropped to make room."),
    "num_steps": ("engine_steps", "Steps of the engine."),
    "num_disk_tokens_written": ("disk_cache_written_tokens", "Tokens written to the disk."),
    "num_disk_tokens_read": ("disk_cache_read_tokens", "Tokens read from the disk."),
    "num_disk_bad_files": ("disk_cache_bad_files", "Files that were damaged or foreign, and removed."),
    "num_checkpoints_used": ("checkpoints_used", "Choices that began at a checkpoint."),
}
# The same of what counts by name, and the label that tells the name.
_NAMED = {
    "num_drafted": ("spec_decode_num_draft_tokens", "source", "Tokens guessed ahead that were computed."),
    "num_accepted": (
        "spec_decode_num_accepted_tokens",
        "source",
        "Of them those that the answer went on with.",
    ),
    "num_hits": ("prefix_cache_hits", "place", "Tokens of prompts that were in memory, or on the disk."),
}


class _Shown(Collector):
    """What a view has of a registry."""

    def __init__(self, registry: CollectorRegistry, view: View) -> None:
        self._registry = registry
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """The families (prometheus_client's protocol)."""
        for family in self._registry.collect():
            shown = [sample for sample in family.samples if self._view.has(sample.labels)]
            # A family of which all is hidden is not even named.
            if shown or not family.samples:
                family.samples = shown
                yield family


class _EngineCollector(Collector):
    """Reads the engines' own numbers. Counters begin anew with an engine that was restarted."""

    def __init__(self, engines: Callable[[], Iterable[EngineReading]]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        """The families of all engines (prometheus_client's protocol)."""
        readings = list(self._engines())
        for attribute, (name, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"caravan_{name}", text, labels=("model",))
            for reading in readings:
                gauge.add_metric((reading.model,), getattr(reading.stats, attribute))
            yield gauge
        for attribute, (name, text) in _COUNTERS.items():
            counter = CounterMetricFamily(f"caravan_{name}", text, labels=("model",))
            for reading in readings:
                counter.add_metric((reading.model,), getattr(reading.stats, attribute))
            yield counter
        yield from _named(readings)
        usage = GaugeMetricFamily("caravan_kv_cache_usage_perc", "Share of cells in use.", labels=("model",))
        restarts = CounterMetricFamily(
            "caravan_engine_restarts", "Engines started anew after they ended.", labels=("model",)
        )
        memory = GaugeMetricFamily(
            "caravan_memory_bytes", "Resident memory of each process.", labels=("process", "model")
        )
        memory.add_metric(("server", ""), resident_bytes(os.getpid()))
        for reading in readings:
            usage.add_metric((reading.model,), reading.stats.num_cells_used / max(reading.stats.num_cells, 1))
            restarts.add_metric((reading.model,), reading.num_restarts)
            if reading.pid is not None:
                memory.add_metric(("engine", reading.model), resident_bytes(reading.pid))
        yield from (usage, restarts, memory)


def _named(readings: Iterable[EngineReading]) -> Iterator[Metric]:
    """Tell of tokens by where guesses, or what was known of a prompt, came from."""
    for attribute, (name, label, text) in _NAMED.items():
        counter = CounterMetricFamily(f"caravan_{name}", text, labels=("model", label))
        for reading in readings:
            for told, count in sorted(getattr(reading.stats, attribute).items()):
                counter.add_metric((reading.model, told), count)
        yield counter


def resident_bytes(pid: int) -> int:
    """Read how many bytes of physical memory a process has mapped; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
