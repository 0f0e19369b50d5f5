"""How much memory a model will need, from its file's header alone: a guess to plan with, not a promise."""

from dataclasses import dataclass

from server.llama.gguf_header import GgufHeader

_CELL_ITEM = 2  # keys, values and masks are float16
_FLOAT = 4
# The engine's process by itself: interpreter, NumPy, llama.cpp, the vocabulary.
_PROCESS = 64 << 20


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes: the files, the memory of texts, and what computing needs beside them."""

    weights: int
    cells: int
    compute: int

    @property
    def total(self) -> int:
        """All together."""
        return self.weights + self.cells + self.compute


def estimate(
    header: GgufHeader, *, num_cells: int, max_sequences: int, batch_size: int, num_parked_tokens: int = 0
) -> MemoryEstimate:
    """The need of one engine with `num_cells` tokens in memory and others parked beside them, `batch_size`
    tokens at once.
    """
    return MemoryEstimate(
        weights=header.file_size,
        cells=(num_cells + num_parked_tokens) * bytes_per_cell(header)
        + max_sequences * bytes_per_sequence(header),
        compute=_compute(header, num_cells, max_sequences, batch_size),
    )


def bytes_per_cell(header: GgufHeader) -> int:
    """What one token of a text occupies in all layers that attend to it."""
    if header.metadata.get(f"{header.architecture}.attention.causal") is False:
        return 0  # it reads a text at once and keeps nothing
    num_layers = header.count("block_count")
    latent = header.count("attention.kv_lora_rank")
    if latent:
        return num_layers * (latent + header.count("rope.dimension_count")) * _CELL_ITEM
    heads = header.per_layer("attention.head_count", num_layers)
    has_own = f"{header.architecture}.attention.head_count_kv" in header.metadata
    kv_heads = header.per_layer("attention.head_count_kv", num_layers) if has_own else heads
    size = header.count("embedding_length") // max(*heads, 1, 1)
    key_size = header.count("attention.key_length") or size
    value_size = header.count("attention.value_length") or size
    return sum(kv_heads) * (key_size + value_size) * _CELL_ITEM


def bytes_per_sequence(header: GgufHeader) -> int:
    """What a text occupies however long it is: states of Mamba's layers and of short convolutions."""
    num_layers = header.count("block_count")
    inner, kernel = header.count("ssm.inner_size"), header.count("ssm.conv_kernel")
    state, groups = header.count("ssm.state_size"), header.count("ssm.group_count")
    convolution = max(kernel - 1, 0) * (inner + 2 * groups * state)
    short = max(header.count("shortconv.l_cache") - 1, 0) * header.count("embedding_length")
    kv_heads = header.per_layer("attention.head_count_kv", num_layers)
    num_recurrent = sum(1 for count in kv_heads if count == 0) if any(kv_heads) else num_layers
    return num_recurrent * (convolution + inner * state + short) * _FLOAT


def _compute(header: GgufHeader, num_cells: int, max_sequences: int, batch_size: int) -> int:
    """Buffers of one step: a layer's activations, the attention's mask, logits computed and handed out."""
    num_layers = header.count("block_count")
    width = header.count("embedding_length")
    feed_forward = max((*header.per_layer("feed_forward_length", num_layers), header.count("ssm.inner_size")))
    activations = batch_size * (4 * width + 3 * feed_forward) * _FLOAT
    mask = batch_size * num_cells * _CELL_ITEM
    logits = 2 * max_sequences * header.vocab_size * _FLOAT
    return activations + mask + logits + _PROCESS
