"""The sizes an engine settles on: those it was told, else defaults that fit into the memory there is."""

import logging
from pathlib import Path

import msgspec

from server.engine.config import EngineConfig, settled_lengths
from server.llama.estimate import bytes_per_cell, estimate
from server.llama.gguf_header import GgufHeader, HeaderError, part_paths, read_header

log = logging.getLogger(__name__)

# Fewer cells than this hold no conversation; a machine that lacks memory for them lacks it for the weights.
_MIN_CELLS = 512
# More than the cells and buffers of any model need by default.
_PLENTY = 4 << 30
# Of the memory that the engine leaves free, what parked tokens may fill: the rest is for others.
_PARKED_SHARE = 0.5


def fitted(config: EngineConfig, free: int) -> EngineConfig:
    """The config, with lengths set that were left open if the defaults do not fit into `free` bytes.

    What the operator set stays as it is. A file that cannot be read is left for llama.cpp to complain of.
    """
    if config.num_cells and config.num_parked_tokens is not None:
        return config
    try:
        # Reading the vocabulary of a header takes a while, which a machine with plenty of memory is spared.
        size = sum(part.stat().st_size for part in part_paths(Path(config.model_path)))
        if not config.num_cells and 2 * size + _PLENTY < free:
            return config
        return shrunk(config, read_header(config.model_path), free)
    except (OSError, HeaderError):
        return config


def shrunk(config: EngineConfig, header: GgufHeader, free: int) -> EngineConfig:
    """The config with lengths set: the defaults, halved until the engine fits into `free` bytes.

    Parked tokens get at most a share of what is left then.
    """
    context_size, num_cells = settled_lengths(config.context_size, config.num_cells, header.training_context)
    wanted = num_cells
    least = max(_MIN_CELLS, config.context_size)
    while not config.num_cells and num_cells // 2 >= least and _need(config, header, num_cells) > free:
        num_cells //= 2
    if num_cells < wanted:
        name = Path(config.model_path).name
        log.warning(
            "%s gets %d KV cells instead of %d: %d MB of memory are free", name, num_cells, wanted, free >> 20
        )
    return msgspec.structs.replace(
        config,
        context_size=min(context_size, num_cells),
        num_cells=num_cells,
        num_parked_tokens=_parked(config, header, num_cells, free),
    )


def _parked(config: EngineConfig, header: GgufHeader, num_cells: int, free: int) -> int:
    """Tokens to park: as many as there are cells, unless they would fill more than their share."""
    if config.num_parked_tokens is not None:
        return config.num_parked_tokens
    left = max(0, free - _need(config, header, num_cells))
    num_parked = min(num_cells, int(left * _PARKED_SHARE) // max(1, bytes_per_cell(header)))
    if num_parked < num_cells:
        name = Path(config.model_path).name
        log.warning("%s may park %d tokens instead of %d", name, num_parked, num_cells)
    return num_parked


def _need(config: EngineConfig, header: GgufHeader, num_cells: int) -> int:
    return estimate(
        header, num_cells=num_cells, max_sequences=config.max_sequences, batch_size=config.batch_size
    ).total
