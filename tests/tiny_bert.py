"""A random-weight BERT of a few hundred kilobytes with a WordPiece vocabulary: an encoder, no generator."""

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

EMBED = 64
HEADS = 4
FEED_FORWARD = 128
NUM_LAYERS = 2
TRAINING_CONTEXT = 640

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# llama.cpp marks the beginning of a word, where BERT's own files mark the rest of one.
_WORDS = ("▁the", "▁wind", "▁in", "▁tree", "▁and", "es", "ing", "er", "▁go")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?"
TOKENS = (*SPECIAL_TOKENS, *_WORDS, *_LETTERS, *(f"▁{letter}" for letter in _LETTERS))


def write_tiny_bert(
    path: Path, *, seed: int = 0, pooling: int | None = gguf.PoolingType.MEAN, has_head: bool = False
) -> None:
    """Write the model; the same seed gives the same weights. `pooling` is llama.cpp's number.

    With a head, it ranks pairs of texts.
    """
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny-bert")
    writer.add_block_count(NUM_LAYERS)
    writer.add_context_length(TRAINING_CONTEXT)
    writer.add_embedding_length(EMBED)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_uint32("bert.pooling_type", pooling)
    _add_vocabulary(writer)
    _add_weights(writer, np.random.default_rng(seed))
    if has_head:
        for name, values in head(seed).items():
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def head(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Draw the tensors of the head: a dense layer, and what makes one number of it."""
    generator = np.random.default_rng([seed, 1])
    shapes = {"cls.weight": (EMBED, EMBED), "cls.bias": (EMBED,)}
    shapes |= {"cls.output.weight": (1, EMBED), "cls.output.bias": (1,)}
    return {
        name: (generator.standard_normal(shape) * (2 / EMBED**0.5)).astype(np.float32)
        for name, shape in shapes.items()
    }


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    num_special = len(SPECIAL_TOKENS)
    kinds = [gguf.TokenType.CONTROL] * num_special + [gguf.TokenType.NORMAL] * (len(TOKENS) - num_special)
    kinds[TOKENS.index("[UNK]")] = gguf.TokenType.UNKNOWN
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(list(TOKENS))
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(TOKENS.index("[CLS]"))
    writer.add_sep_token_id(TOKENS.index("[SEP]"))
    writer.add_unk_token_id(TOKENS.index("[UNK]"))
    writer.add_pad_token_id(TOKENS.index("[PAD]"))
    writer.add_mask_token_id(TOKENS.index("[MASK]"))


def _add_weights(writer: gguf.GGUFWriter, generator: np.random.Generator) -> None:
    def matrix(name: str, rows: int, columns: int, spread: float = 1.0) -> None:
        values = generator.standard_normal((rows, columns)) * (spread / columns**0.5)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    def vector(name: str, size: int, mean: float = 0.0) -> None:
        writer.add_tensor(name, (generator.standard_normal(size) * 0.1 + mean).astype(np.float32))

    def norm(name: str) -> None:
        vector(f"{name}.weight", EMBED, mean=1.0)
        vector(f"{name}.bias", EMBED)

    matrix("token_embd", len(TOKENS), EMBED, EMBED**0.5)
    matrix("token_types", 2, EMBED)
    matrix("position_embd", TRAINING_CONTEXT, EMBED, EMBED**0.5)
    norm("token_embd_norm")
    for index in range(NUM_LAYERS):
        block = f"blk.{index}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{name}", EMBED, EMBED, 2.0)
            vector(f"{block}.{name}.bias", EMBED)
        norm(f"{block}.attn_output_norm")
        matrix(f"{block}.ffn_up", FEED_FORWARD, EMBED)
        vector(f"{block}.ffn_up.bias", FEED_FORWARD)
        matrix(f"{block}.ffn_down", EMBED, FEED_FORWARD)
        vector(f"{block}.ffn_down.bias", EMBED)
        norm(f"{block}.layer_output_norm")
