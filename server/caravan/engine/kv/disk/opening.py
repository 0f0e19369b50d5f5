"""Opens the cache on the disk that an engine is told of, if it can have one, by the fingerprint of all that
its bytes depend on.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.engine.interfaces import RangeStates
from caravan.engine.kv.disk.chunks import CHUNK_SIZE, NAME_BYTES, WHOLE
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.llama import library
from caravan.llama.gguf_header import part_paths, read_header
from caravan.llama.model_file import add_file
from caravan.version import version

# Options by which no cell comes to hold anything else: names of files, whose content counts, sizes, limits,
# and who computes. All others count, also those that come to be added.
WITHOUT_EFFECT = frozenset(
    {
        "model_path",
        "draft_model_path",
        "projector_path",
        "is_encoder_elsewhere",
        "context_size",
        "num_cells",
        "num_window_cells",
        "num_host_cache_tokens",
        "checkpoint_bytes",
        "batch_size",
        "max_sequences",
        "max_running",
        "max_waiting",
        "queue_seconds",
        "num_scored_rows",
        "max_drafted",
        "step_seconds",
        "num_threads",
        "adapts_threads",
        "num_sampling_threads",
        "num_gpu_layers",
        "memory_budget",
        "rpc_workers",
        "disk_cache",
        "weights",
        # Nothing that is computed with them is written (`scope_of`).
        "adapters",
        "added_adapters",
    }
)

# Whether quantized cells hold vectors as they are, or turned so that less is lost (`llama_kv_cache`).
_NO_ROTATION = "LLAMA_ATTN_ROT_DISABLE"
# Where a model has these, they turn positions in contexts that are longer than its first training's
# (`llama_model::get_rope_factors`): Phi 3 and 4, for instance.
_LONG_FACTORS = "rope_factors_long.weight"
# llama.cpp rounds contexts up to a multiple of this.
_PADDING = 256

log = logging.getLogger(__name__)


def fingerprint(config: EngineConfig) -> bytes:
    """Return what chains of chunks begin with. Reads a few hundred pages of each file.

    Raises HeaderError and OSError.
    """
    digest = hashlib.sha256()
    directions = (Path(path) for path, _ in config.context.control_vectors)
    for path in (*part_paths(Path(config.model_path)), *directions):
        add_file(digest, path)
    options = msgspec.to_builtins(config)
    told = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
    told |= {
        "has_long_positions": _has_long_positions(config),
        _NO_ROTATION: os.environ.get(_NO_ROTATION, ""),
    }
    digest.update(json.dumps([library.build(), version(), told], sort_keys=True).encode())
    return digest.digest()[:NAME_BYTES]


def _has_long_positions(config: EngineConfig) -> bool:
    header = read_header(config.model_path)
    original = header.count("rope.scaling.original_context_length") or header.training_context
    return _LONG_FACTORS in header.tensors and -(-config.num_cells // _PADDING) * _PADDING > original


def open_disk_cache(config: EngineConfig, ranges: RangeStates | None) -> DiskCache | None:
    """Open it, or log why there is none. `ranges` are what cells can be filled by."""
    if (told := config.disk_cache) is None:
        return None
    name = Path(config.model_path).name
    if ranges is None:
        log.warning("%s: its prefixes are not kept on the disk: they cannot be copied in pieces", name)
        return None
    try:
        return DiskCache(
            Path(told.folder),
            fingerprint(config),
            told.max_bytes,
            keeps_private=told.keeps_private,
            chunk_size=WHOLE if ranges.is_whole else CHUNK_SIZE,
        )
    except OSError as error:
        log.warning("%s: its prefixes are not kept on the disk: %s", name, error)
        return None
