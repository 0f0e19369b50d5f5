"""Which layers of a model lie on which GPU, and what they take there: arithmetic only.

Layers are counted as llama.cpp counts them for `n_gpu_layers`: those of the network, then the output; the
last ones go to GPUs first. Embeddings of tokens always stay with the processor.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.kv_bytes import cell_bytes_of_layers, is_causal, state_bytes_of_layers

# What is left free on each GPU, as llama.cpp's own tools leave it (`--fit-target`): for the driver, kernels'
# scratch memory and what an estimate misses.
MARGIN = 1 << 30


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


def layer_bytes(header: GgufHeader, num_cells: int, max_sequences: int) -> tuple[int, ...]:
    """Tell what each layer takes with its weights and its part of the texts; the output is the last."""
    texts = texts_of_layers(header, num_cells, max_sequences)
    output = sum(size for name, size in header.tensors.items() if name.startswith("output"))
    output += _shared_output(header)
    return tuple(sum(pair) for pair in zip((*_weights(header), output), texts, strict=True))


def texts_of_layers(header: GgufHeader, num_cells: int, max_sequences: int) -> tuple[int, ...]:
    """Tell what each layer takes with its part of the texts; the output is the last, and has none."""
    sizes = zip(cell_bytes_of_layers(header), state_bytes_of_layers(header), strict=True)
    return (*(num_cells * a_cell + max_sequences * a_state for a_cell, a_state in sizes), 0)


def place(
    header: GgufHeader,
    layers: Sequence[int],
    free: Sequence[int],
    num_layers: int,
    *,
    step: int,
) -> Placement:
    """Tell what `num_layers` of these `layers` take of GPUs with `free` bytes each. A step takes `step` bytes
    more of each that computes.
    """
    num_layers = min(num_layers, len(layers))
    if not num_layers or not any(free):
        return Placement(num_all=len(layers), taken=(0,) * len(free))
    taken, used = [0] * len(free), set()
    for size, gpu in zip(layers[-num_layers:], _gpus_of(num_layers, free), strict=True):
        taken[gpu] += size
        used.add(gpu)
    # Weights that stay behind are brought over, one at a time, to compute large batches with.
    brought = 0
    if num_layers < len(layers):
        brought = max((size for name, size in header.tensors.items() if name.startswith("blk.")), default=0)
    for gpu in used:
        taken[gpu] += step + brought
    moved = sum(layers[-num_layers:]) - _shared_output(header)
    return Placement(num_layers=num_layers, num_all=len(layers), taken=tuple(taken), num_moved=moved)


def most_layers(header: GgufHeader, layers: Sequence[int], free: Sequence[int], *, step: int) -> Placement:
    """Place as many layers as there is room for on GPUs with `free` bytes each."""
    for num_layers in range(len(layers), 0, -1):
        placement = place(header, layers, free, num_layers, step=step)
        if all(taken + MARGIN <= room for taken, room in zip(placement.taken, free, strict=True) if taken):
            return placement
    return place(header, layers, free, 0, step=step)


def _gpus_of(num_layers: int, free: Sequence[int]) -> Iterator[int]:
    """The number of the GPU of each layer: in the order of the GPUs, by their free memory
    (`llama_model_base::load_tensors`).
    """
    ends = [end / sum(free) for end in accumulate(free)]
    for index in range(num_layers):
        yield bisect_right(ends, index / num_layers)


def _weights(header: GgufHeader) -> list[int]:
    weights = [0] * header.count("block_count")
    for name, size in header.tensors.items():
        block, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        if block == "blk" and number.isdecimal() and int(number) < len(weights):
            weights[int(number)] += size
    return weights


def _shared_output(header: GgufHeader) -> int:
    """The embeddings of tokens where they are the output's weights, too: a GPU gets a copy of them."""
    if "output.weight" in header.tensors or not is_causal(header):
        return 0
    return header.tensors.get("token_embd.weight", 0)
