"""What texts occupy in the memory of a model, as its file's header tells: by the token, and by the text."""

from caravan.config.llama_config import PLAIN_CONTEXT, ContextOptions
from caravan.llama.cache_types import row_bytes
from caravan.llama.gguf_header import GgufHeader

_FLOAT = 4
# llama.cpp's books over a cell of a cache (`llama_kv_cells`): position, extra positions and token, shift, and
# a bit for each sequence.
_BOOKS = 4 + 12 + 4 + 32
# Layers of these attend and keep a state, both.
_BOTH = ("falcon-h1",)
# Every so many layers attend where the file does not say which (`full_attn_interval` in llama.cpp's models).
_INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}


def bytes_per_cell(header: GgufHeader, options: ContextOptions = PLAIN_CONTEXT) -> int:
    """Tell what one token of a text occupies in all layers that attend to it."""
    return sum(cell_bytes_of_layers(header, options))


def cell_bytes_of_layers(header: GgufHeader, options: ContextOptions = PLAIN_CONTEXT) -> tuple[int, ...]:
    """Tell what one token of a text occupies in each layer."""
    num_layers = header.count("block_count")
    if not is_causal(header):
        return (0,) * num_layers  # it reads a text at once and keeps nothing
    is_recurrent = _recurrent_layers(header)
    attends = [not recurrent or header.architecture in _BOTH for recurrent in is_recurrent]
    latent = header.count("attention.kv_lora_rank")
    if latent:
        a_cell = row_bytes(options.cache_type_k, latent + header.count("rope.dimension_count"))
        return tuple(a_cell * attending for attending in attends)
    kv_heads = _kv_heads(header)
    # Without flash attention values lie the other way round, as many in every layer.
    value_heads = kv_heads if options.has_flash_attention else (max(*kv_heads, 0, 0),) * num_layers
    key_size, value_size = head_sizes(header)
    return tuple(
        attending * (row_bytes(options.cache_type_k, keys * key_size) + values)
        for keys, attending, values in zip(
            kv_heads,
            attends,
            (row_bytes(options.cache_type_v, count * value_size) for count in value_heads),
            strict=True,
        )
    )


def cast_bytes_per_cell(header: GgufHeader, options: ContextOptions) -> int:
    """Tell what a step takes for a cell: flash attention has float32 copied to float16, a layer at once."""
    kinds = (options.cache_type_k, options.cache_type_v)
    if "f32" not in kinds or not options.has_flash_attention:
        return 0
    pairs = zip(kinds, head_sizes(header), strict=True)
    most_heads = max((*_kv_heads(header), 0))
    return sum(row_bytes("f16", most_heads * size) for kind, size in pairs if kind == "f32")


def head_sizes(header: GgufHeader) -> tuple[int, int]:
    """Tell how many numbers a head's key has, and its value."""
    heads = header.per_layer("attention.head_count", header.count("block_count"))
    size = header.count("embedding_length") // max(*heads, 1, 1)
    return (
        header.count("attention.key_length") or size,
        header.count("attention.value_length") or size,
    )


def book_bytes_per_cell(header: GgufHeader) -> int:
    """Tell what llama.cpp notes about a cell. Layers with a sliding window have a cache of their own."""
    if not bytes_per_cell(header):
        return 0
    return _BOOKS * (2 if has_windows(header) else 1)


def bytes_per_sequence(header: GgufHeader) -> int:
    """Tell what a text occupies however long it is: the states of recurrent layers."""
    return sum(state_bytes_of_layers(header))


def state_bytes_of_layers(header: GgufHeader) -> tuple[int, ...]:
    """Tell what a text occupies in each layer, however long it is."""
    a_state = bytes_per_state(header)
    return tuple(a_state * recurrent for recurrent in _recurrent_layers(header))


def bytes_per_state(header: GgufHeader) -> int:
    """Tell what one recurrent layer keeps of a text; 0 where there is none."""
    return _state_size(header) * _FLOAT


def is_causal(header: GgufHeader) -> bool:
    """Tell whether the model reads a text token by token, unlike encoders."""
    return header.metadata.get(f"{header.architecture}.attention.causal") is not False


def has_windows(header: GgufHeader) -> bool:
    """Tell whether some layers attend to the latest tokens only."""
    return header.count("attention.sliding_window") > 0


def can_offload(header: GgufHeader) -> bool:
    """Tell whether idle texts can be kept outside of the cells, whole as they are (`Context.can_offload`)."""
    return bytes_per_cell(header) > 0 and not has_windows(header)


def _kv_heads(header: GgufHeader) -> tuple[int, ...]:
    has_own = f"{header.architecture}.attention.head_count_kv" in header.metadata
    name = "attention.head_count_kv" if has_own else "attention.head_count"
    return header.per_layer(name, header.count("block_count"))


def _state_size(header: GgufHeader) -> int:
    """Floats of one layer's state (`n_embd_r` and `n_embd_s` in llama.cpp's hyperparameters)."""
    width, kernel = header.count("embedding_length"), header.count("ssm.conv_kernel")
    if head_size := header.count("wkv.head_size"):  # RWKV
        return (header.count("token_shift_count") + head_size) * width
    if length := header.count("shortconv.l_cache"):  # LFM2
        return (length - 1) * width
    if head_size := header.count("kda.head_dim"):  # Kimi
        inner = header.count("attention.head_count") * head_size
        return 3 * (kernel - 1 if kernel else 3) * inner + head_size * inner
    inner, state = header.count("ssm.inner_size"), header.count("ssm.state_size")
    return max(kernel - 1, 0) * (inner + 2 * header.count("ssm.group_count") * state) + inner * state


def _recurrent_layers(header: GgufHeader) -> tuple[bool, ...]:
    """Which layers keep a state."""
    num_layers = header.count("block_count")
    if not _state_size(header):
        return (False,) * num_layers
    if header.architecture in _BOTH:
        return (True,) * num_layers
    named = header.metadata.get(f"{header.architecture}.attention.recurrent_layers")
    if isinstance(named, tuple):
        return tuple(bool(item) for item in named[:num_layers])
    interval = header.count("full_attention_interval") or _INTERVALS.get(header.architecture)
    if interval:
        return tuple((index + 1) % interval != 0 for index in range(num_layers))
    kv_heads = _kv_heads(header)
    if not any(kv_heads):
        return (True,) * num_layers
    # A layer of Nemotron-H that neither attends nor remembers is a feed-forward network.
    feeds = header.per_layer("feed_forward_length", num_layers) if "nemotron" in header.architecture else ()
    return tuple(not count and not (feeds and feeds[index]) for index, count in enumerate(kv_heads))
