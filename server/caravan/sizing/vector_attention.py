"""Which attention makes vectors of texts: one by which a vector is the same beside whatever others."""

from caravan.llama import library
from caravan.llama.gguf_header import GgufHeader

# Pairs of a cell and a token of the batch, up to which attention keeps a number for each in every head.
MAX_PAIRS = 1 << 22
# Our attention takes heads of so many numbers, or a multiple (`caravan_lanes` with AVX-512; half with AVX2).
_LANES = 16
_SIZES = ("attention.key_length", "attention.value_length")


def keeps_pairs(header: GgufHeader, num_cells: int, batch_size: int) -> bool:
    """Whether flash attention is to be switched off: slower, and with memory for each pair.

    On a processor, llama.cpp's adds up in float16: a vector depends on its neighbours, by up to 1e-3. Ours
    (`deploy/build/patches/attention-by-sequence.patch`) adds up in float32, and keeps texts apart.
    """
    if num_cells * batch_size > MAX_PAIRS:
        return False
    return not (library.has_runs_of_rows() and _is_ours(header))


def _is_ours(header: GgufHeader) -> bool:
    """Whether our attention takes the heads of all layers; llama.cpp's own takes them otherwise."""
    prefix = tuple(f"{header.architecture}.{name}" for name in _SIZES)
    named = [value for key, value in header.metadata.items() if key.startswith(prefix)]
    heads = max((*header.per_layer("attention.head_count", header.count("block_count")), 1))
    sizes = named or [header.count("embedding_length") // heads]
    return all(isinstance(size, int) and size % _LANES == 0 for size in sizes)
