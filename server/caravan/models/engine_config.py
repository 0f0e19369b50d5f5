"""What an engine is told of the options, and the memory that this comes to."""

import os
from collections.abc import Mapping
from pathlib import Path

from caravan.config.engine_config import DiskCacheConfig, EngineConfig
from caravan.config.model_settings import ModelOptions
from caravan.config.settings import Settings
from caravan.llama.devices import Gpu, gpus
from caravan.llama.gguf_header import GgufHeader, HeaderError
from caravan.runtime.machine import ROOT, memory_limit, usable_cores
from caravan.sizing.gpu_placement import MARGIN
from caravan.sizing.sizes import Need, Resources, settle, sizes_of

# The rest is for the server itself, the system and its file cache. GPUs have nothing else to do.
_SHARE_OF_MEMORY = 0.8
_ENOUGH = 1 << 60


def memory_budget(settings: Settings, root: Path = ROOT) -> int:
    """The most bytes that loaded models may need, all together."""
    on_gpus = sum(gpu.total for gpu in gpus() if not gpu.is_shared)
    # What options call a size is an int of a kind of its own, which does not go over to an engine.
    return int(settings.memory_budget) or int(memory_limit(root) * _SHARE_OF_MEMORY) + on_gpus


def gpu_budget() -> int:
    """The most bytes that loaded models may need of GPUs with memory of their own; 0 without any."""
    return sum(max(0, gpu.total - MARGIN) for gpu in gpus() if not gpu.is_shared)


def engine_config(
    path: Path,
    table: ModelOptions,
    budget: int,
    draft_model: Path | None = None,
    disk_cache: DiskCacheConfig | None = None,
    added: Mapping[str, Path] | None = None,
    projector: Path | None = None,
) -> EngineConfig:
    """What an engine is told of a model's options. `budget` is the most bytes that it may plan with, and
    `added` are adapters beyond those of the options.
    """
    return EngineConfig(
        model_path=os.fspath(path),
        projector_path="" if projector is None else os.fspath(projector),
        draft_model_path="" if draft_model is None else os.fspath(draft_model),
        context_size=table.context_size,
        num_cells=table.kv_cache_tokens,
        num_host_cache_tokens=table.host_cache_tokens,
        checkpoint_bytes=None if table.checkpoint_bytes is None else int(table.checkpoint_bytes),
        batch_size=table.batch_size,
        max_sequences=table.max_sequences,
        max_running=table.max_running,
        max_waiting=table.max_waiting,
        queue_seconds=table.queue_seconds,
        num_threads=table.threads,
        adapts_threads=table.adaptive_threads and not table.threads_batch,
        num_sampling_threads=table.sampling_threads,
        max_drafted=table.speculative,
        num_gpu_layers=table.gpu_layers,
        rpc_workers=tuple(table.rpc),
        adapters=tuple((name, os.fspath(file)) for name, file in table.lora.items()),
        added_adapters=tuple((name, os.fspath(file)) for name, file in (added or {}).items()),
        weights=table.weight_options(),
        context=table.context_options(),
        memory_budget=budget,
        disk_cache=disk_cache,
    )


def need_of(config: EngineConfig) -> Need:
    """By the sizes that the engine will settle on if others make room for it, as far as its budget goes;
    nothing for a file that cannot be read, nor loaded.
    """
    try:
        return sizes_of(config, _emptied(config)).need
    except (HeaderError, OSError):
        return Need()


def context_size_of(config: EngineConfig, header: GgufHeader) -> int:
    """The most tokens of one text, by the same sizes."""
    return settle(config, header, _emptied(config)).config.context_size


def _emptied(config: EngineConfig) -> Resources:
    """The machine without other models. Only an engine asks workers what they have: here it is enough."""
    remote = tuple(Gpu(free=_ENOUGH, total=_ENOUGH, is_remote=True) for _ in config.rpc_workers)
    emptied = tuple(Gpu(free=gpu.total, total=gpu.total, is_shared=gpu.is_shared) for gpu in gpus())
    return Resources(memory=memory_limit(), cores=usable_cores(), gpus=(*remote, *emptied))
