"""How much memory a model will need, from its file's header alone.

The buffers of a step were read off llama.cpp's own report of them, on models from 60 MB to 8B.
"""

from dataclasses import dataclass

from caravan.config.engine_config import DISK_AHEAD_BYTES, DISK_PENDING_BYTES, EngineConfig
from caravan.config.llama_config import PLAIN_CONTEXT, ContextOptions
from caravan.llama.gguf_header import GgufHeader
from caravan.sizing.kv_bytes import (
    book_bytes_per_cell,
    bytes_per_cell,
    bytes_per_sequence,
    bytes_per_state,
    can_offload,
    cast_bytes_per_cell,
    cell_bytes_of_layers,
    has_windows,
    is_causal,
)
from caravan.sizing.vector_attention import keeps_pairs
from caravan.sizing.windows import cells_of_layers

_FLOAT = 4
_HALF = 2
# The engine's process by itself: 35 MB of its own, and code of Python, NumPy and llama.cpp, of which kernels
# map more or less from their cache; and an entry of the vocabulary.
_PROCESS = 64 << 20
_VOCABULARY_ENTRY = 400
# How vectors of texts are computed. Of a model that generates, llama.cpp also computes and keeps logits for
# every token of a batch, so not too many.
VECTOR_BATCH = 128
# Texts in one batch. Recurrent models keep a state for each.
VECTOR_TEXTS = 16


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes: the files, the memory of texts, and what computing needs beside them.

    `draft_model` is all that one takes, and `projector` what the encoder's process takes until it has work.
    `host_cache`, `checkpoints` and `disk_buffers` fill up in the course of time.
    `vectors` are taken by a model that generates at the first text that is to become one; an encoder does
    nothing else, and has no part of that name. Of `compute`, `step` is the buffer of a step, which each GPU
    that computes needs, too.
    """

    weights: int
    cells: int
    compute: int
    host_cache: int = 0
    vectors: int = 0
    step: int = 0
    draft_model: int = 0
    checkpoints: int = 0
    adapters: int = 0
    disk_buffers: int = 0
    projector: int = 0

    @property
    def at_start(self) -> int:
        """What is taken when the model is loaded."""
        beside = self.draft_model + self.adapters + self.projector
        return self.weights + self.cells + self.compute + beside

    @property
    def total(self) -> int:
        """All that may ever be taken."""
        return self.at_start + self.host_cache + self.checkpoints + self.disk_buffers + self.vectors


def estimate(
    header: GgufHeader,
    *,
    num_cells: int,
    max_sequences: int,
    batch_size: int,
    num_rows: int = 0,
    num_host_cache_tokens: int = 0,
    longest_vector: int = 0,
    options: ContextOptions = PLAIN_CONTEXT,
    num_window_cells: int = 0,
) -> MemoryEstimate:
    """The need of one engine with `num_cells` tokens in memory and others offloaded beside them, `batch_size`
    tokens at once.

    A step hands out `num_rows` rows of logits, one for each sequence if that is more. Texts of up to
    `longest_vector` tokens can be made vectors of. Layers that keep no more than windows have
    `num_window_cells`; 0 is as many cells as the others.
    """
    process = _PROCESS + _VOCABULARY_ENTRY * header.vocab_size
    num_rows = max(num_rows, max_sequences)
    if not is_causal(header):
        step = _whole_texts(header, longest_vector, options)
        return MemoryEstimate(weights=header.file_size, cells=0, compute=process + step, step=step)
    step = _step(header, num_cells, batch_size, num_rows, options, num_window_cells)
    return MemoryEstimate(
        weights=header.file_size,
        cells=_cells(header, num_cells, max_sequences, options, num_window_cells),
        compute=process
        + step
        + _logits(header, num_rows)
        # A layer's states are gathered before they are gone on with.
        + max_sequences * bytes_per_state(header),
        host_cache=num_host_cache_tokens * bytes_per_cell(header, options) if can_offload(header) else 0,
        vectors=_texts_in_pieces(header, longest_vector, options),
        step=step,
    )


def bytes_of_sequences(header: GgufHeader, max_sequences: int, num_rows: int) -> int:
    """Tell what an engine takes for so many sequences: their states, and logits, computed and kept."""
    return max_sequences * bytes_per_sequence(header) + 2 * _logits(header, num_rows)


def bytes_of_draft_model(
    header: GgufHeader,
    *,
    num_cells: int,
    max_sequences: int,
    batch_size: int,
    options: ContextOptions = PLAIN_CONTEXT,
) -> int:
    """Tell what a draft model takes in an engine: its file, its cells, and what it computes with."""
    return (
        header.file_size
        + _VOCABULARY_ENTRY * header.vocab_size
        + _cells(header, num_cells, max_sequences, options)
        + _step(header, num_cells, batch_size, max_sequences, options)
        + _logits(header, max_sequences)
    )


def bytes_of_vectors(header: GgufHeader, longest: int, options: ContextOptions = PLAIN_CONTEXT) -> int:
    """Tell what it takes to make vectors of texts of up to `longest` tokens."""
    make = _texts_in_pieces if is_causal(header) else _whole_texts
    return make(header, longest, options)


def bytes_of_disk_buffers(config: EngineConfig, taken: MemoryEstimate) -> int:
    """Tell what is read ahead, and what waits to be written, beside what is `taken`."""
    if config.disk_cache is None:
        return 0
    # No more is read than cells are to be filled with, and what is written is a copy of these.
    pending = min(taken.cells + taken.host_cache, DISK_PENDING_BYTES)
    return min(taken.cells, DISK_AHEAD_BYTES) + pending


def _cells(
    header: GgufHeader,
    num_cells: int,
    max_sequences: int,
    options: ContextOptions,
    num_window_cells: int = 0,
) -> int:
    """The memory of texts, with llama.cpp's books over it."""
    counts = cells_of_layers(header, num_cells, num_window_cells)
    layers = zip(counts, cell_bytes_of_layers(header, options), strict=True)
    # There is a book for layers with a window, and one for the others.
    books = (num_cells + (num_window_cells or num_cells)) * book_bytes_per_cell(header) // 2
    return sum(count * size for count, size in layers) + books + max_sequences * bytes_per_sequence(header)


def _logits(header: GgufHeader, num_rows: int) -> int:
    return num_rows * header.vocab_size * _FLOAT


def _step(
    header: GgufHeader,
    num_cells: int,
    batch_size: int,
    num_rows: int,
    options: ContextOptions,
    num_window_cells: int = 0,
) -> int:
    """The buffer of one step: a layer and the mask, or later in their place, logits; without flash
    attention, a number for each pair of a token and a cell, in every head.
    """
    width = header.count("embedding_length")
    masks = 0
    if bytes_per_cell(header):
        num_seen = num_cells + (num_window_cells or num_cells) * has_windows(header)
        masks = batch_size * num_seen * _HALF
        masks += num_cells * cast_bytes_per_cell(header, options)
    rest = num_rows * width * _FLOAT + batch_size * width * _FLOAT
    step = max(_layer(header, batch_size) + masks, _logits(header, num_rows) + rest)
    if masks and not options.has_flash_attention:
        step = max(step, _bytes_of_pairs(header, num_cells, batch_size))
    return step


def _layer(header: GgufHeader, batch_size: int) -> int:
    """The largest results that one layer keeps at a time."""
    num_layers = header.count("block_count")
    width = header.count("embedding_length")
    num_experts = header.count("expert_used_count")
    inner = max(
        (
            *header.per_layer("feed_forward_length", num_layers),
            2 * header.count("ssm.inner_size"),
            header.count("expert_feed_forward_length") * num_experts,
        )
    )
    heads = max((*header.per_layer("attention.head_count", num_layers), 0))
    attending = max(width, heads * header.count("attention.key_length"))
    return batch_size * (4 * attending + num_experts * width + 3 * inner) * _FLOAT


def _texts_in_pieces(header: GgufHeader, longest: int, options: ContextOptions) -> int:
    """The context for vectors of a model that generates: it computes logits too, of every token."""
    if not longest:
        return 0
    batch_size = min(VECTOR_BATCH, longest)
    width = header.count("embedding_length")
    kept = batch_size * (header.vocab_size + width) * _FLOAT
    # Cells of such texts are always of the usual types.
    computing = ContextOptions(flash_attn=options.flash_attn)
    cells = _cells(header, longest, VECTOR_TEXTS, computing)
    step = _step(header, longest, batch_size, batch_size, computing)
    if bytes_per_cell(header):
        step = max(step, _pairs(header, longest, batch_size))
    return cells + kept + step


def _whole_texts(header: GgufHeader, longest: int, options: ContextOptions) -> int:
    """The context of an encoder, which looks at all of a text at once."""
    width = header.count("embedding_length")
    masks = longest * longest * _HALF * (2 if has_windows(header) else 1)
    step = max(_layer(header, longest) + masks, _pairs(header, longest, longest))
    if not options.has_flash_attention:
        step = max(step, _bytes_of_pairs(header, longest, longest))
    return step + longest * width * _FLOAT


def _pairs(header: GgufHeader, num_cells: int, batch_size: int) -> int:
    """The buffer of a step for vectors without flash attention; 0 where it is on."""
    return _bytes_of_pairs(header, num_cells, batch_size) if keeps_pairs(header, num_cells, batch_size) else 0


def _bytes_of_pairs(header: GgufHeader, num_cells: int, batch_size: int) -> int:
    num_layers = header.count("block_count")
    heads = max((*header.per_layer("attention.head_count", num_layers), 0))
    width = header.count("embedding_length")
    return (num_cells * (heads + 1) + 7 * width) * batch_size * _FLOAT
