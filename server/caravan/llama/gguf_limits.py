"""Whether the numbers of a header can be those of a model: whoever computes with them need not ask again."""

from collections.abc import Iterator, Mapping

from caravan.llama.gguf_reader import HeaderError, Scalar, Value, shown

_TENSOR_SIZE = 1 << 24
_POSITIONS = (1 << 32) - 1
# Counts under an architecture's name, with the most that any model has of each, and some room. More than
# 512 layers are too many for llama.cpp itself (LLAMA_MAX_LAYERS).
_MOST = {
    "block_count": 512,
    "context_length": _POSITIONS,
    "embedding_length": 1 << 20,
    "feed_forward_length": _TENSOR_SIZE,
    "vocab_size": 1 << 22,
    "attention.head_count": 1 << 16,
    "attention.head_count_kv": 1 << 16,
    "attention.key_length": 1 << 16,
    "attention.value_length": 1 << 16,
    "attention.kv_lora_rank": 1 << 16,
    "attention.sliding_window": _POSITIONS,
    "rope.dimension_count": 1 << 16,
    "expert_count": 1 << 16,
    "expert_used_count": 1 << 16,
    "expert_feed_forward_length": _TENSOR_SIZE,
    "full_attention_interval": 512,
    "ssm.conv_kernel": 1 << 16,
    "ssm.group_count": 1 << 16,
    "ssm.inner_size": _TENSOR_SIZE,
    "ssm.state_size": 1 << 16,
    "ssm.time_step_rank": 1 << 16,
    "wkv.head_size": 1 << 16,
    "token_shift_count": 1 << 16,
    "shortconv.l_cache": 1 << 16,
    "kda.head_dim": 1 << 16,
}
_FLAGS = ("attention.causal",)
_TOKENS = "tokenizer.ggml.tokens"
# llama.cpp reads as many of these as there are tokens, without looking how many there are.
_BESIDE_TOKENS = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")


def check(architecture: str, metadata: Mapping[str, Value], lengths: Mapping[str, int]) -> None:
    """Raises HeaderError over the first number that no model has."""
    for name, most in _MOST.items():
        key = f"{architecture}.{name}"
        for value in _items(metadata.get(key)):
            # A truth value is an integer to Python.
            if type(value) is not int or not 0 <= value <= most:
                raise HeaderError(f"it is damaged: '{shown(key)}' is {value!r:.40}")
    for name in _FLAGS:
        key = f"{architecture}.{name}"
        if not isinstance(metadata.get(key), bool | None):
            raise HeaderError(f"it is damaged: '{shown(key)}' is {metadata[key]!r:.40}")
    for key in _BESIDE_TOKENS:
        if lengths.get(key, lengths.get(_TOKENS)) != lengths.get(_TOKENS):
            raise HeaderError(
                f"it is damaged: '{key}' has {lengths[key]} items, and there are as many tokens as "
                f"{lengths.get(_TOKENS, 0)}"
            )


def _items(value: Value) -> Iterator[Scalar]:
    """A number, or those of all layers."""
    if isinstance(value, tuple):
        yield from value
    elif value is not None:
        yield value
