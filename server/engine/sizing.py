"""The sizes an engine settles on: those it was told, else defaults that fit into the memory there is."""

import logging
from pathlib import Path

import msgspec

from server.engine.config import EngineConfig, settled_lengths
from server.llama.estimate import estimate
from server.llama.gguf_header import GgufHeader, HeaderError, part_paths, read_header

log = logging.getLogger(__name__)

# Fewer cells than this hold no conversation; a machine that lacks memory for them lacks it for the weights.
_MIN_CELLS = 512
# More than the cells and buffers of any model need by default.
_PLENTY = 4 << 30


def fitted(config: EngineConfig, free: int) -> EngineConfig:
    """The config, with lengths set that were left open if the defaults do not fit into `free` bytes.

    What the operator set stays as it is. A file that cannot be read is left for llama.cpp to complain of.
    """
    if config.num_cells:
        return config
    try:
        # Reading the vocabulary of a header takes a while, which a machine with plenty of memory is spared.
        if 2 * sum(part.stat().st_size for part in part_paths(Path(config.model_path))) + _PLENTY < free:
            return config
        return shrunk(config, read_header(config.model_path), free)
    except (OSError, HeaderError):
        return config


def shrunk(config: EngineConfig, header: GgufHeader, free: int) -> EngineConfig:
    """The config with lengths set: the defaults, halved until the engine fits into `free` bytes."""
    context_size, num_cells = settled_lengths(config.context_size, config.num_cells, header.training_context)
    wanted = num_cells
    least = max(_MIN_CELLS, config.context_size)
    while num_cells // 2 >= least and _need(config, header, num_cells) > free:
        num_cells //= 2
    if num_cells < wanted:
        name = Path(config.model_path).name
        log.warning(
            "%s gets %d KV cells instead of %d: %d MB of memory are free", name, num_cells, wanted, free >> 20
        )
    return msgspec.structs.replace(config, context_size=min(context_size, num_cells), num_cells=num_cells)


def _need(config: EngineConfig, header: GgufHeader, num_cells: int) -> int:
    return estimate(
        header, num_cells=num_cells, max_sequences=config.max_sequences, batch_size=config.batch_size
    ).total
