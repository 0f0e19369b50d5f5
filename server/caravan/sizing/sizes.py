"""The sizes an engine settles on: those it was told, else what suits the cores and the memory there is.

- Sequences that run at once: 16 for each core, at least 16 and at most 64; 64 where GPUs have room for half
  of the weights. All of them share each reading of the weights, so few leave the machine idle, while more
  than its cores can compute only slow each other down.
- Sequences in memory: twice as many, so that as many idle ones can be gone on with. They take rows of logits
  and, in recurrent layers, a state each; together at most a quarter of what the weights leave, or there are
  fewer of both.
- Cells: as many tokens as a text may have, 8192 where that was left open, halved until everything fits; and
  down to 4096, if all layers fit on a GPU then.
- Layers on GPUs: as many as their free memory holds, with the cells of these layers and what it takes to
  compute there.
- Tokens of the host cache: as many as cells, in at most half of what is left then; none beside a GPU.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from caravan.config.engine_config import MAX_SEQUENCES, EngineConfig, settled_lengths
from caravan.llama.devices import Gpu, gpus
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.llama.rpc import add_workers
from caravan.runtime.machine import ROOT, available_memory, usable_cores
from caravan.sizing.checkpoint_memory import with_checkpoints
from caravan.sizing.draft_memory import bytes_of_files
from caravan.sizing.gpu_placement import MARGIN, Placement, gpu_shares, layer_bytes, most_layers, place
from caravan.sizing.kv_bytes import bytes_per_cell, can_offload, is_causal
from caravan.sizing.llama_checks import check_options, unused_options
from caravan.sizing.memory_estimate import MemoryEstimate, bytes_of_disk_buffers, bytes_of_sequences, estimate
from caravan.sizing.windows import window_cells

_RUNNING_PER_CORE = 16
_LEAST_RUNNING = 16
_MOST_RUNNING = 64
_LEAST_SEQUENCES = 4
# Of the memory that the weights leave, what the number of sequences may take.
_SEQUENCE_SHARE = 0.25
# Fewer cells than this hold no conversation; a machine that lacks memory for them lacks it for the weights.
_MIN_CELLS = 512
# As few cells as this are better than layers that the processor has to compute beside a GPU.
_CELLS_BESIDE_GPU = 4096
# Of the memory that the engine leaves free, what the host cache may fill: the rest is for others.
_HOST_CACHE_SHARE = 0.5


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What there is: free memory in bytes, cores, and GPUs that llama.cpp can use."""

    memory: int
    cores: int
    gpus: tuple[Gpu, ...] = ()

    @property
    def free_on_gpus(self) -> tuple[int, ...]:
        """Bytes of each."""
        return tuple(gpu.free for gpu in self.gpus)


class Need(msgspec.Struct, frozen=True):
    """Bytes that an engine may ever take: `total`, and `on_gpus` of them of GPUs with memory of their own."""

    total: int = 0
    on_gpus: int = 0


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """`config` with every size filled in, and the memory that they take, `at_start` of it the machine's own
    and `on_gpus` that of GPUs which do not share it.

    `reason` tells why so many sequences run, and `shortages` has a line for each size that memory made
    smaller than it would be.
    """

    config: EngineConfig
    memory: MemoryEstimate
    at_start: int
    placement: Placement = Placement()
    on_gpus: int = 0
    on_workers: int = 0
    reason: str
    shortages: tuple[str, ...] = ()

    @property
    def at_most(self) -> int:
        """Bytes of the machine's memory that may ever be taken."""
        return self.at_start + self.memory.total - self.memory.at_start

    @property
    def need(self) -> Need:
        """All that may ever be taken."""
        here = self.placement.num_bytes - self.on_workers
        return Need(self.memory.total - self.placement.num_moved + here, self.on_gpus)


def resources(root: Path = ROOT, workers: Iterable[str] = ()) -> Resources:
    """Ask what this machine, or the container, has at this moment, and what workers have. Raises RpcError."""
    add_workers(workers)
    return Resources(memory=available_memory(root), cores=usable_cores(root), gpus=gpus())


def sizes_of(config: EngineConfig, given: Resources) -> Sizes:
    """Settle on sizes for the config's file with these resources. Raises HeaderError or OSError."""
    return settle(config, read_header(config.model_path), given)


def settle(config: EngineConfig, header: GgufHeader, given: Resources) -> Sizes:
    """Fill in the sizes that were left open, and bring those into line that depend on each other.

    What the operator set stays as it is, whether it fits or not. Raises OptionError over what cannot be.
    """
    check_options(config, header, len(given.gpus))
    shortages = [*unused_options(config, header, len(given.gpus))]
    config = msgspec.structs.replace(config, num_threads=config.num_threads or given.cores)
    config, reason = _with_sequences(config, header, given)
    config = _with_cells(config, header, given, shortages)
    placement = _placement(config, header, given)
    if config.num_gpu_layers < 0 and given.gpus and not placement.has_all:
        told = f"{placement.num_layers} of {placement.num_all} layers on GPUs"
        shortages.append(f"{told}, as {sum(given.free_on_gpus) >> 20} MiB are free there")
    if config.num_gpu_layers < 0:
        config = msgspec.structs.replace(config, num_gpu_layers=placement.num_layers)
    num_tokens = _host_cache_tokens(config, header, given, shortages)
    config = msgspec.structs.replace(config, num_host_cache_tokens=num_tokens)
    config = with_checkpoints(config, header, _free(config, given) - need(config, header).total)
    return Sizes(
        config=config,
        memory=need(config, header),
        at_start=_at_start(config, header, given),
        placement=placement,
        on_gpus=_taken(placement, given, is_shared=False),
        on_workers=_on_workers(placement, given),
        reason=reason,
        shortages=tuple(shortages),
    )


def need(config: EngineConfig, header: GgufHeader) -> MemoryEstimate:
    """Tell what an engine takes whose sizes are all filled in."""
    taken = estimate(
        header,
        num_cells=config.num_cells,
        max_sequences=config.max_sequences,
        batch_size=config.batch_size,
        num_rows=config.num_rows,
        num_host_cache_tokens=config.num_host_cache_tokens or 0,
        longest_vector=config.context_size,
        options=config.context,
        num_window_cells=window_cells(config, header),
    )
    buffers, kept = bytes_of_disk_buffers(config, taken), config.checkpoint_bytes or 0
    return replace(taken, checkpoints=kept, disk_buffers=buffers, **bytes_of_files(config))


def _placement(config: EngineConfig, header: GgufHeader, given: Resources) -> Placement:
    """Where the layers go: as many to GPUs as there is room for, or as many as are asked for."""
    sizes = config.num_cells, config.max_sequences, config.weights, config.context
    layers = layer_bytes(header, *sizes, window_cells(config, header))
    taken = need(config, header)
    # Layers of a draft model, and a projector, are on GPUs too, on whichever llama.cpp chooses.
    free = tuple(max(0, free - taken.draft_model - taken.projector) for free in given.free_on_gpus)
    if config.num_gpu_layers < 0:
        return most_layers(header, layers, free, step=taken.step, weights=config.weights)
    return place(header, layers, free, config.num_gpu_layers, step=taken.step, weights=config.weights)


def _at_start(config: EngineConfig, header: GgufHeader, given: Resources) -> int:
    """Bytes of the machine's memory that are taken when the model is loaded."""
    placement = _placement(config, header, given)
    return need(config, header).at_start - placement.num_moved + _taken(placement, given, is_shared=True)


def _taken(placement: Placement, given: Resources, *, is_shared: bool) -> int:
    """Bytes of this machine's GPUs that have its memory, or of those that have their own."""
    pairs = zip(placement.taken, given.gpus, strict=True)
    return sum(taken for taken, gpu in pairs if gpu.is_shared is is_shared and not gpu.is_remote)


def _on_workers(placement: Placement, given: Resources) -> int:
    """Bytes of other machines."""
    return sum(taken for taken, gpu in zip(placement.taken, given.gpus, strict=True) if gpu.is_remote)


def _fits(config: EngineConfig, header: GgufHeader, given: Resources) -> bool:
    """Whether the machine has the memory, and the budget allows what is taken of it and of GPUs."""
    placement = _placement(config, header, given)
    here = placement.num_bytes - _on_workers(placement, given)
    everywhere = need(config, header).at_start - placement.num_moved + here
    is_allowed = not config.memory_budget or everywhere <= config.memory_budget
    return is_allowed and _at_start(config, header, given) <= given.memory


def _free(config: EngineConfig, given: Resources) -> int:
    return min(given.memory, config.memory_budget or given.memory)


def _room_beside_weights(config: EngineConfig, header: GgufHeader, given: Resources) -> int:
    """Bytes that the weights leave: of the GPUs, where these hold them, else of everything."""
    on_gpus = _room_on_gpus(config, given, with_shared=False)
    if on_gpus > header.file_size:
        return on_gpus - header.file_size
    return _free(config, given) + on_gpus - header.file_size


def _room_on_gpus(config: EngineConfig, given: Resources, *, with_shared: bool = True) -> int:
    """Bytes that GPUs have for the model, as far as it may use them."""
    shares = gpu_shares(given.free_on_gpus, config.weights) if config.num_gpu_layers else ()
    used = [gpu for gpu, share in zip(given.gpus, shares, strict=False) if share]
    return sum(max(0, gpu.free - MARGIN) for gpu in used if with_shared or not gpu.is_shared)


def _with_sequences(config: EngineConfig, header: GgufHeader, given: Resources) -> tuple[EngineConfig, str]:
    running, reason = config.max_running, "as set"
    if not running and given.gpus and 2 * _room_on_gpus(config, given) > header.file_size:
        running, reason = _MOST_RUNNING, "for a GPU"
    elif not running:
        running = min(max(_RUNNING_PER_CORE * config.num_threads, _LEAST_RUNNING), _MOST_RUNNING)
        reason = "for one core" if config.num_threads == 1 else f"for {config.num_threads} cores"
    if running > config.batch_size:
        running, reason = config.batch_size, "by batch_size"
    sequences = min(config.max_sequences or 2 * running, MAX_SEQUENCES)
    least = max(_LEAST_SEQUENCES, config.max_running)
    room = _room_beside_weights(config, header, given) * _SEQUENCE_SHARE
    while not config.max_sequences and sequences // 2 >= least:
        sized = msgspec.structs.replace(config, max_running=min(running, sequences), max_sequences=sequences)
        if bytes_of_sequences(header, sequences, sized.num_rows) <= room:
            break
        sequences //= 2
    if sequences < running:
        running = sequences
        free = f"in {_free(config, given) >> 20} MiB of memory"
        reason = "by max_sequences" if config.max_sequences else free
    return msgspec.structs.replace(config, max_running=running, max_sequences=sequences), reason


def _with_cells(
    config: EngineConfig, header: GgufHeader, given: Resources, shortages: list[str]
) -> EngineConfig:
    trained = header.training_context
    context_size, wanted = settled_lengths(config.context_size, config.num_cells, trained)
    if not is_causal(header):  # its positions end with those that it was trained on
        if trained and trained < config.context_size:
            shortages.append(
                f"{trained} tokens of context instead of {config.context_size}: it knows no more"
            )
        context_size = min(context_size, trained or context_size)
    choices = [wanted]
    while not config.num_cells and choices[-1] // 2 >= max(_MIN_CELLS, config.context_size):
        choices.append(choices[-1] // 2)
    sized = [_lengths(config, context_size, num_cells) for num_cells in choices]
    fitting = [choice for choice in sized if _fits(choice, header, given)]
    on_gpus = [
        choice
        for choice in fitting
        if choice.num_cells >= _CELLS_BESIDE_GPU and given.gpus and config.num_gpu_layers < 0
        if _placement(choice, header, given).has_all
    ]
    chosen = (on_gpus or fitting or sized[-1:])[0]
    if chosen.num_cells < wanted:
        free = f"{_free(config, given) >> 20} MiB"
        if given.gpus:
            free += f", and {sum(given.free_on_gpus) >> 20} MiB of GPUs,"
        shortages.append(f"{chosen.num_cells} tokens in memory instead of {wanted}, as {free} are free")
    return chosen


def _lengths(config: EngineConfig, context_size: int, num_cells: int) -> EngineConfig:
    batch_size = min(config.batch_size, num_cells)
    return msgspec.structs.replace(
        config,
        context_size=min(context_size, num_cells),
        num_cells=num_cells,
        batch_size=batch_size,
        max_running=min(config.max_running, batch_size),
    )


def _host_cache_tokens(
    config: EngineConfig, header: GgufHeader, given: Resources, shortages: list[str]
) -> int:
    """Count the tokens of the host cache: as many as there are cells, unless that is more than its share."""
    if config.num_host_cache_tokens and not can_offload(header):
        shortages.append("no host cache: what this model keeps of a text cannot be moved there")
        return 0
    if config.num_host_cache_tokens is not None:
        return config.num_host_cache_tokens
    if not can_offload(header) or given.gpus:
        return 0
    taken = need(config, header)
    left = max(0, _free(config, given) - taken.at_start - taken.vectors)
    num_tokens = min(
        config.num_cells, int(left * _HOST_CACHE_SHARE) // bytes_per_cell(header, config.context)
    )
    if num_tokens < config.num_cells:
        shortages.append(f"{num_tokens} tokens of idle texts kept aside instead of {config.num_cells}")
    return num_tokens
