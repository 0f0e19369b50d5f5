"""How much memory other files of an engine will need than the model: draft model, adapters, projector."""

import contextlib
import functools
import os

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.sizing.memory_estimate import bytes_of_draft_model

# Python, NumPy, Pillow and llama.cpp in a process of their own, and an entry of its vocabulary.
_ENCODER = 48 << 20
_VOCABULARY_ENTRY = 400


def bytes_of_files(config: EngineConfig) -> dict[str, int]:
    """Tell what other files take than the model's, by their parts of a `MemoryEstimate`.

    Raises HeaderError or OSError.
    """
    adapters = sum(os.stat(path).st_size for _, path in config.adapters)
    for _, path in config.added_adapters:
        # Where it is gone, the model is loaded without it.
        with contextlib.suppress(OSError):
            adapters += os.stat(path).st_size
    return {"draft_model": draft_bytes(config), "adapters": adapters, "projector": projector_bytes(config)}


def projector_bytes(config: EngineConfig) -> int:
    """Bytes of the encoder's process with its projector loaded, nothing being encoded; 0 without one here."""
    if not config.projector_path or config.is_encoder_elsewhere:
        return 0
    try:
        size = os.stat(config.projector_path).st_size
    except OSError:
        # One that was found may be gone, and the model takes text alone. Over others the encoder complains.
        return 0
    return size + _ENCODER + read_header(config.model_path).vocab_size * _VOCABULARY_ENTRY


def draft_bytes(config: EngineConfig) -> int:
    """Bytes of the draft model, with as many cells as the model has; 0 without one. Raises HeaderError or
    OSError.
    """
    path = config.draft_model_path
    if not path:
        return 0
    return bytes_of_draft_model(
        _header(path, os.stat(path).st_mtime_ns),
        num_cells=config.num_cells,
        max_sequences=config.max_running,
        batch_size=config.batch_size,
        options=draft_context(config),
    )


def draft_context(config: EngineConfig) -> ContextOptions:
    """Tell which options hold for the draft model, too: how steps are computed, not what is kept of texts."""
    return ContextOptions(flash_attn=config.context.flash_attn, threads_batch=config.context.threads_batch)


def draft_weights(config: EngineConfig) -> WeightOptions:
    """Tell how the draft model's weights are read, and on which GPUs they go: as the model's, all of them."""
    return msgspec.structs.replace(config.weights, n_cpu_moe=0, override_tensor=())


@functools.lru_cache(4)
def _header(path: str, _changed: int) -> GgufHeader:
    """Sizes are settled on in several tries, and a header takes a moment to read."""
    return read_header(path)
