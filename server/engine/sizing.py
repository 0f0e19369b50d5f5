"""The sizes an engine settles on: those it was told, else what suits the cores and the memory there is.

- Sequences that run at once: 16 for each core, at least 16 and at most 64; 64 where a GPU computes. All of
  them share each reading of the weights, so few leave the machine idle, while more than its cores can compute
  only slow each other down.
- Sequences in memory: twice as many, so that as many idle ones can be gone on with. They take rows of logits
  and, in recurrent layers, a state each; together at most a quarter of what the weights leave, or there are
  fewer of both.
- Cells: as many tokens as a text may have, 8192 where that was left open, halved until everything fits.
- Parked tokens: as many as cells, in at most half of what is left then.
"""

import msgspec

from server.engine.config import MAX_SEQUENCES, EngineConfig, settled_lengths
from server.llama.cell_sizes import bytes_per_cell, can_park, is_causal
from server.llama.estimate import MemoryEstimate, bytes_of_sequences, estimate
from server.llama.gguf_header import GgufHeader, read_header
from server.machine import available_memory, usable_cores

_RUNNING_PER_CORE = 16
_LEAST_RUNNING = 16
_MOST_RUNNING = 64
_LEAST_SEQUENCES = 4
# Of the memory that the weights leave, what the number of sequences may take.
_SEQUENCE_SHARE = 0.25
# Fewer cells than this hold no conversation; a machine that lacks memory for them lacks it for the weights.
_MIN_CELLS = 512
# Of the memory that the engine leaves free, what parked tokens may fill: the rest is for others.
_PARKED_SHARE = 0.5


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What there is: free memory in bytes, and cores."""

    memory: int
    cores: int


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """`config` with every size filled in, and the memory that they take.

    `reason` tells why so many sequences run, and `shortages` has a line for each size that memory made
    smaller than it would be.
    """

    config: EngineConfig
    memory: MemoryEstimate
    reason: str
    shortages: tuple[str, ...] = ()


def resources() -> Resources:
    """What this machine, or the container, has at this moment."""
    return Resources(memory=available_memory(), cores=usable_cores())


def sizes_of(config: EngineConfig, given: Resources) -> Sizes:
    """What an engine with these resources settles on for the config's file. Raises HeaderError or OSError."""
    return settle(config, read_header(config.model_path), given)


def settle(config: EngineConfig, header: GgufHeader, given: Resources) -> Sizes:
    """The sizes that were left open filled in, and those that depend on each other brought into line.

    What the operator set stays as it is, whether it fits or not.
    """
    free = min(given.memory, config.memory_budget or given.memory)
    shortages: list[str] = []
    config = msgspec.structs.replace(config, num_threads=config.num_threads or given.cores)
    config, reason = _with_sequences(config, header, free)
    config = _with_cells(config, header, free, shortages)
    config = msgspec.structs.replace(config, num_parked_tokens=_parked(config, header, free, shortages))
    return Sizes(config=config, memory=need(config, header), reason=reason, shortages=tuple(shortages))


def need(config: EngineConfig, header: GgufHeader) -> MemoryEstimate:
    """What an engine takes whose sizes are all filled in."""
    return estimate(
        header,
        num_cells=config.num_cells,
        max_sequences=config.max_sequences,
        batch_size=config.batch_size,
        num_rows=_num_rows(config),
        num_parked_tokens=config.num_parked_tokens or 0,
        longest_vector=config.context_size,
    )


def _with_sequences(config: EngineConfig, header: GgufHeader, free: int) -> tuple[EngineConfig, str]:
    running, reason = config.max_running, "as set"
    if not running:
        running = min(max(_RUNNING_PER_CORE * config.num_threads, _LEAST_RUNNING), _MOST_RUNNING)
        reason = "for one core" if config.num_threads == 1 else f"for {config.num_threads} cores"
    sequences = min(config.max_sequences or 2 * running, MAX_SEQUENCES)
    least = max(_LEAST_SEQUENCES, config.max_running)
    room = (free - header.file_size) * _SEQUENCE_SHARE
    while not config.max_sequences and sequences // 2 >= least:
        sized = msgspec.structs.replace(config, max_running=min(running, sequences), max_sequences=sequences)
        if bytes_of_sequences(header, sequences, _num_rows(sized)) <= room:
            break
        sequences //= 2
    if sequences < running:
        running = sequences
        reason = "by max_sequences" if config.max_sequences else f"in {free >> 20} MiB of memory"
    return msgspec.structs.replace(config, max_running=running, max_sequences=sequences), reason


def _with_cells(config: EngineConfig, header: GgufHeader, free: int, shortages: list[str]) -> EngineConfig:
    trained = header.training_context
    context_size, num_cells = settled_lengths(config.context_size, config.num_cells, trained)
    if not is_causal(header):  # its positions end with those that it was trained on
        context_size = min(context_size, trained or context_size)
    wanted, least = num_cells, max(_MIN_CELLS, config.context_size)
    sized = _lengths(config, context_size, num_cells)
    while not config.num_cells and num_cells // 2 >= least and need(sized, header).at_start > free:
        num_cells //= 2
        sized = _lengths(config, context_size, num_cells)
    if num_cells < wanted:
        shortages.append(f"{num_cells} tokens in memory instead of {wanted}, as {free >> 20} MiB are free")
    return sized


def _lengths(config: EngineConfig, context_size: int, num_cells: int) -> EngineConfig:
    batch_size = min(config.batch_size, num_cells)
    return msgspec.structs.replace(
        config,
        context_size=min(context_size, num_cells),
        num_cells=num_cells,
        batch_size=batch_size,
        max_running=min(config.max_running, batch_size),
        num_parked_tokens=config.num_parked_tokens,
    )


def _parked(config: EngineConfig, header: GgufHeader, free: int, shortages: list[str]) -> int:
    """Tokens to park: as many as there are cells, unless they would fill more than their share."""
    if config.num_parked_tokens is not None:
        return config.num_parked_tokens
    if not can_park(header):
        return 0
    taken = need(config, header)
    left = max(0, free - taken.at_start - taken.vectors)
    num_parked = min(config.num_cells, int(left * _PARKED_SHARE) // bytes_per_cell(header))
    if num_parked < config.num_cells:
        shortages.append(f"{num_parked} tokens of idle texts kept aside instead of {config.num_cells}")
    return num_parked


def _num_rows(config: EngineConfig) -> int:
    """Rows of logits that a step may hand out."""
    rows = config.max_sequences + config.num_spare_rows
    return min(rows, max(config.batch_size, config.max_sequences))
