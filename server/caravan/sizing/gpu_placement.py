"""Which layers of a model lie on which GPU, and what they take there: arithmetic only.

Layers are counted as llama.cpp counts them for `n_gpu_layers`: those of the network, then the output; the
last ones go to GPUs first. Embeddings of tokens always stay with the processor.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import msgspec

from caravan.config.llama_config import (
    CPU_BUFFER,
    PLAIN_CONTEXT,
    PLAIN_WEIGHTS,
    ContextOptions,
    WeightOptions,
)
from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.kv_bytes import cell_bytes_of_layers, is_causal, state_bytes_of_layers
from caravan.sizing.windows import cells_of_layers

# What is left free on each GPU, as llama.cpp's own tools leave it (`--fit-target`): for the driver, kernels'
# scratch memory and what an estimate misses.
MARGIN = 1 << 30
# Ways to share that cut every layer. With "row" the texts of a layer stay whole, on one of the GPUs; they are
# counted as if they were shared, too.
_SPLIT_LAYERS = ("row", "tensor")


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """`num_layers` of `num_all` are on GPUs, and take so many bytes of each, with buffers to compute in.

    `num_moved` bytes of weights and texts are there instead of in the machine's memory.
    """

    num_layers: int = 0
    num_all: int = 0
    taken: tuple[int, ...] = ()
    num_moved: int = 0

    @property
    def has_all(self) -> bool:
        """Whether the processor has no layer to compute."""
        return self.num_layers == self.num_all

    @property
    def num_bytes(self) -> int:
        """Bytes of all GPUs together."""
        return sum(self.taken)


def layer_bytes(
    header: GgufHeader,
    num_cells: int,
    max_sequences: int,
    weights: WeightOptions = PLAIN_WEIGHTS,
    options: ContextOptions = PLAIN_CONTEXT,
    num_window_cells: int = 0,
) -> tuple[int, ...]:
    """Tell what each layer takes with its weights and its part of the texts; the output is the last.

    A weight that stays with the processor by name is left out. One that goes to a GPU by name is counted with
    its layer.
    """
    texts = texts_of_layers(header, num_cells, max_sequences, options, num_window_cells)
    output = sum(size for name, size in _movable(header, weights) if name.startswith("output"))
    output += _shared_output(header)
    return tuple(sum(pair) for pair in zip((*_weights(header, weights), output), texts, strict=True))


def texts_of_layers(
    header: GgufHeader,
    num_cells: int,
    max_sequences: int,
    options: ContextOptions = PLAIN_CONTEXT,
    num_window_cells: int = 0,
) -> tuple[int, ...]:
    """Tell what each layer takes with its part of the texts; the output is the last, and has none.

    Layers that keep no more than windows have `num_window_cells`.
    """
    cells = cells_of_layers(header, num_cells, num_window_cells)
    layers = zip(cells, cell_bytes_of_layers(header, options), state_bytes_of_layers(header), strict=True)
    return (*(count * a_cell + max_sequences * a_state for count, a_cell, a_state in layers), 0)


def place(
    header: GgufHeader,
    layers: Sequence[int],
    free: Sequence[int],
    num_layers: int,
    *,
    step: int,
    weights: WeightOptions = PLAIN_WEIGHTS,
) -> Placement:
    """Tell what `num_layers` of these `layers` take of GPUs with `free` bytes each. A step takes `step` bytes
    more of each that computes.
    """
    num_layers = min(num_layers, len(layers))
    if not num_layers or not any(free):
        return Placement(num_all=len(layers), taken=(0,) * len(free))
    shares = gpu_shares(free, weights)
    moving = layers[-num_layers:]
    if weights.split_mode in _SPLIT_LAYERS:
        taken = [int(sum(moving) * share / sum(shares)) for share in shares]
        used = {gpu for gpu, share in enumerate(shares) if share}
    else:
        taken, used = [0] * len(free), set()
        for size, gpu in zip(moving, _gpus_of(num_layers, shares), strict=True):
            taken[gpu] += size
            used.add(gpu)
    # Weights that stay behind are brought over, one at a time, to compute large batches with.
    brought = 0
    if num_layers < len(layers) or weights.overrides:
        brought = max((size for name, size in header.tensors.items() if name.startswith("blk.")), default=0)
    for gpu in used:
        taken[gpu] += step + brought
    moved = sum(moving) - _shared_output(header)
    return Placement(num_layers=num_layers, num_all=len(layers), taken=tuple(taken), num_moved=moved)


def most_layers(
    header: GgufHeader,
    layers: Sequence[int],
    free: Sequence[int],
    *,
    step: int,
    weights: WeightOptions = PLAIN_WEIGHTS,
) -> Placement:
    """Place as many layers as there is room for on GPUs with `free` bytes each."""
    for num_layers in range(len(layers), 0, -1):
        placement = place(header, layers, free, num_layers, step=step, weights=weights)
        if all(taken + MARGIN <= room for taken, room in zip(placement.taken, free, strict=True) if taken):
            return placement
    return place(header, layers, free, 0, step=step)


def gpu_shares(free: Sequence[int], weights: WeightOptions) -> Sequence[float]:
    """Tell which share of the layers each of the GPUs has, which have `free` bytes."""
    if weights.split_mode == "none":
        return [float(gpu == weights.main_gpu) for gpu in range(len(free))]
    if weights.tensor_split:
        return (*weights.tensor_split, *[0.0] * len(free))[: len(free)]
    return free


def _gpus_of(num_layers: int, shares: Sequence[float]) -> Iterator[int]:
    """The number of the GPU of each layer: in the order of the GPUs, by their shares
    (`llama_model_base::load_tensors`).
    """
    ends = [end / sum(shares) for end in accumulate(shares)]
    for index in range(num_layers):
        yield bisect_right(ends, index / num_layers)


def _weights(header: GgufHeader, options: WeightOptions) -> list[int]:
    weights = [0] * header.count("block_count")
    for name, size in _movable(header, options):
        block, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        if block == "blk" and number.isdecimal() and int(number) < len(weights):
            weights[int(number)] += size
    return weights


def _movable(header: GgufHeader, options: WeightOptions) -> Iterable[tuple[str, int]]:
    """Names and bytes of the weights that no option keeps with the processor."""
    if not options.overrides:
        return header.tensors.items()
    return [item for item in header.tensors.items() if options.buffer_of(item[0]) != CPU_BUFFER]


def _shared_output(header: GgufHeader) -> int:
    """The embeddings of tokens where they are the output's weights, too: a GPU gets a copy of them."""
    if "output.weight" in header.tensors or not is_causal(header):
        return 0
    return header.tensors.get("token_embd.weight", 0)
