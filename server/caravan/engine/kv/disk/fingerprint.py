"""What cells depend on besides tokens: weights, build, and how the engine computes."""

import hashlib
import json
from pathlib import Path

import msgspec

from caravan.config.engine_config import EngineConfig
from caravan.engine.kv.disk.chunks import NAME_BYTES
from caravan.llama import library
from caravan.llama.gguf_header import part_paths
from caravan.llama.model_file import add_file
from caravan.version import version

# Options by which no cell comes to hold anything else: names of files, whose content counts, sizes, limits,
# and who computes. All others count, also those that come to be added.
WITHOUT_EFFECT = frozenset(
    {
        "model_path",
        "draft_model_path",
        "context_size",
        "num_cells",
        "num_host_cache_tokens",
        "batch_size",
        "max_sequences",
        "max_running",
        "max_waiting",
        "queue_seconds",
        "num_scored_rows",
        "max_drafted",
        "step_seconds",
        "num_threads",
        "num_sampling_threads",
        "num_gpu_layers",
        "memory_budget",
        "rpc_workers",
        "disk_cache",
        "weights",
        # Nothing that is computed with them is written (`scope_of`).
        "adapters",
    }
)


def fingerprint(config: EngineConfig) -> bytes:
    """Return what chains of chunks begin with. Reads a few hundred pages of each file. Raises OSError."""
    digest = hashlib.sha256()
    directions = (Path(path) for path, _ in config.context.control_vectors)
    for path in (*part_paths(Path(config.model_path)), *directions):
        add_file(digest, path)
    options = msgspec.to_builtins(config)
    told = {name: value for name, value in options.items() if name not in WITHOUT_EFFECT}
    digest.update(json.dumps([library.build(), version(), told], sort_keys=True).encode())
    return digest.digest()[:NAME_BYTES]
