"""Random-weight GGUF files of a few hundred kilobytes, one for each kind of memory llama.cpp has.

They are real models to llama.cpp: nothing is mocked below our own code. Weights come from a seed, so a file
written twice is the same file. All share one small vocabulary, every byte and a few merges, and ChatML.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.tiny_vocab import CHAT_TEMPLATE, add_vocabulary, vocabulary_size

EMBED = 64
HEADS = 4
KV_HEADS = 2
HEAD_SIZE = EMBED // HEADS
FEED_FORWARD = 128
SLIDING_WINDOW = 16
SSM_STATE = 8
SSM_RANK = 4
SSM_INNER = 2 * EMBED
SSM_KERNEL = 4
TRAINING_CONTEXT = 2048

AnswerFormat = tuple[int, ...]
Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A weight to draw. `shape` is numpy's order: rows are outputs.

    `spread` is the standard deviation of a row's product with a vector of unit variance; `mean` shifts it.
    """

    name: str
    shape: AnswerFormat
    spread: float = 1.0
    mean: float = 0.0
    quantizable: bool = True


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What llama.cpp wants to find in a file: metadata, then tensors layer by layer."""

    num_layers: int
    fields: Callable[[int], Fields]
    layer: Callable[[int], list[Tensor]]
    output_norm: str = "output_norm.weight"
    embedding_spread: float = EMBED**0.5
    more: tuple[Tensor, ...] = ()


def norm(name: str, size: int = EMBED) -> Tensor:
    return Tensor(f"{name}.weight", (size,), spread=0.1, mean=1.0, quantizable=False)


def matrix(name: str, rows: int, columns: int, spread: float = 1.0) -> Tensor:
    return Tensor(f"{name}.weight", (rows, columns), spread)


def _bias(name: str, size: int, mean: float = 0.0) -> Tensor:
    return Tensor(f"{name}.bias", (size,), spread=0.1, mean=mean, quantizable=False)


def attention_tensors(block: str, *, biased: bool = False, normed: bool = False) -> list[Tensor]:
    key_value = KV_HEADS * HEAD_SIZE
    tensors = [
        matrix(f"{block}.attn_q", EMBED, EMBED, 2.0),
        matrix(f"{block}.attn_k", key_value, EMBED, 2.0),
        matrix(f"{block}.attn_v", key_value, EMBED),
        matrix(f"{block}.attn_output", EMBED, EMBED, 2.0),
    ]
    if biased:
        sizes = {"attn_q": EMBED, "attn_k": key_value, "attn_v": key_value}
        tensors += [_bias(f"{block}.{name}", size) for name, size in sizes.items()]
    if normed:
        tensors += [norm(f"{block}.attn_q_norm", HEAD_SIZE), norm(f"{block}.attn_k_norm", HEAD_SIZE)]
    return tensors


def _feed_forward(block: str) -> list[Tensor]:
    return [
        norm(f"{block}.ffn_norm"),
        matrix(f"{block}.ffn_gate", FEED_FORWARD, EMBED),
        matrix(f"{block}.ffn_up", FEED_FORWARD, EMBED),
        matrix(f"{block}.ffn_down", EMBED, FEED_FORWARD),
    ]


def transformer_layer(index: int, *, biased: bool = False, normed: bool = False) -> list[Tensor]:
    block = f"blk.{index}"
    attention = attention_tensors(block, biased=biased, normed=normed)
    return [norm(f"{block}.attn_norm"), *attention, *_feed_forward(block)]


def _gemma_layer(index: int) -> list[Tensor]:
    # llama.cpp looks GELU up in a float16 table; a quiet feed-forward half keeps that rounding away.
    quiet = Tensor(f"blk.{index}.post_ffw_norm.weight", (EMBED,), spread=0.005, mean=0.05, quantizable=False)
    return [*transformer_layer(index, normed=True), norm(f"blk.{index}.post_attention_norm"), quiet]


def _mamba_layer(index: int) -> list[Tensor]:
    block = f"blk.{index}"
    return [
        norm(f"{block}.attn_norm"),
        matrix(f"{block}.ssm_in", 2 * SSM_INNER, EMBED),
        Tensor(f"{block}.ssm_conv1d.weight", (SSM_INNER, SSM_KERNEL), quantizable=False),
        _bias(f"{block}.ssm_conv1d", SSM_INNER),
        matrix(f"{block}.ssm_x", SSM_RANK + 2 * SSM_STATE, SSM_INNER),
        Tensor(f"{block}.ssm_dt.weight", (SSM_INNER, SSM_RANK), quantizable=False),
        _bias(f"{block}.ssm_dt", SSM_INNER, mean=-2.0),
        Tensor(f"{block}.ssm_a", (SSM_INNER, SSM_STATE), spread=0.1, mean=-0.5, quantizable=False),
        Tensor(f"{block}.ssm_d", (SSM_INNER,), spread=0.1, mean=1.0, quantizable=False),
        matrix(f"{block}.ssm_out", EMBED, SSM_INNER, 2.0),
    ]


def _shortconv_or_attention_layer(index: int) -> list[Tensor]:
    block = f"blk.{index}"
    if index % 2:
        return transformer_layer(index, normed=True)
    return [
        norm(f"{block}.attn_norm"),
        Tensor(f"{block}.shortconv.conv.weight", (EMBED, SSM_KERNEL), quantizable=False),
        matrix(f"{block}.shortconv.in_proj", 3 * EMBED, EMBED),
        matrix(f"{block}.shortconv.out_proj", EMBED, EMBED, 2.0),
        *_feed_forward(block),
    ]


def _common_fields(num_layers: int) -> Fields:
    return {
        "block_count": num_layers,
        "context_length": TRAINING_CONTEXT,
        "embedding_length": EMBED,
        "feed_forward_length": FEED_FORWARD,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }


def attention_fields(num_layers: int) -> Fields:
    return _common_fields(num_layers) | {
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.key_length": HEAD_SIZE,
        "attention.value_length": HEAD_SIZE,
        "rope.dimension_count": HEAD_SIZE,
        "rope.freq_base": 10_000.0,
    }


def _gemma_fields(num_layers: int) -> Fields:
    window = {"attention.sliding_window": SLIDING_WINDOW, "attention.sliding_window_pattern": 2}
    return attention_fields(num_layers) | window


def _mamba_fields(num_layers: int) -> Fields:
    return _common_fields(num_layers) | {
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "ssm.conv_kernel": SSM_KERNEL,
        "ssm.inner_size": SSM_INNER,
        "ssm.state_size": SSM_STATE,
        "ssm.time_step_rank": SSM_RANK,
    }


def _lfm2_fields(num_layers: int) -> Fields:
    kv_heads = [KV_HEADS if index % 2 else 0 for index in range(num_layers)]
    return attention_fields(num_layers) | {
        "attention.head_count_kv": kv_heads,
        "shortconv.l_cache": SSM_KERNEL,
    }


def _qwen_layer(index: int) -> list[Tensor]:
    return transformer_layer(index, biased=True)


ARCHITECTURES = {
    "llama": Architecture(2, attention_fields, transformer_layer),
    "qwen2": Architecture(2, attention_fields, _qwen_layer),
    # Gemma multiplies embeddings by the root of their length, so these are drawn smaller.
    "gemma3": Architecture(4, _gemma_fields, _gemma_layer, embedding_spread=1.0),
    "mamba": Architecture(2, _mamba_fields, _mamba_layer),
    "lfm2": Architecture(4, _lfm2_fields, _shortconv_or_attention_layer, "token_embd_norm.weight"),
}


def write_tiny_model(
    path: Path,
    architecture: str,
    *,
    seed: int = 0,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    tool_template: str | None = None,
) -> None:
    """Write a model of `architecture`, a key of ARCHITECTURES; its large matrices are stored quantized.

    A `tool_template` is a second chat template, for requests with tools.
    """
    generator = np.random.default_rng(seed)
    templates = {} if tool_template is None else {"tool_use": tool_template}
    write_shape(
        path, architecture, lambda tensor: drawn(tensor, generator), quantization, templates=templates
    )


def write_tiny_judge(path: Path, template: str) -> None:
    """Write a ranking model that generates, of Qwen3-Reranker's kind: its head has rows for yes and for no.

    `template` is that of a pair, with `{query}` and `{document}`.
    """
    generator = np.random.default_rng(0)
    fields = {"pooling_type": 4, "classifier.output_labels": ["yes", "no"]}
    shape = Architecture(
        2,
        lambda num_layers: attention_fields(num_layers) | fields,
        lambda index: transformer_layer(index, normed=True),
        more=(matrix("cls.output", 2, EMBED),),
    )
    write_shape(
        path, "qwen3", lambda tensor: drawn(tensor, generator), shape=shape, templates={"rerank": template}
    )


def write_steady_model(path: Path, logits: NDArray[np.float32]) -> None:
    """Write a model that answers every text with the same `logits` [vocabulary_size()].

    Recurrent, so that a token costs the same however long the text is: its layers add nothing to embeddings
    that are all ones.
    """

    def constant(tensor: Tensor) -> NDArray[np.float32]:
        if tensor.name == "output.weight":
            return np.repeat(logits[:, None] / EMBED, EMBED, axis=1).astype(np.float32)
        ones = tensor.name in ("token_embd.weight", "output_norm.weight")
        return np.full(tensor.shape, float(ones), np.float32)

    write_shape(path, "mamba", constant, shape=dataclasses.replace(ARCHITECTURES["mamba"], num_layers=1))


def write_shape(
    path: Path,
    architecture: str,
    values: Callable[[Tensor], NDArray[np.float32]],
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    *,
    shape: Architecture | None = None,
    templates: dict[str, str] | None = None,
) -> None:
    shape = shape or ARCHITECTURES[architecture]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny-{architecture}")
    for key, value in shape.fields(shape.num_layers).items():
        add_field(writer, f"{architecture}.{key}", value)
    add_vocabulary(writer)
    writer.add_chat_template(CHAT_TEMPLATE)
    if templates:
        named = [{"name": name, "template": template} for name, template in templates.items()]
        writer.add_chat_template(named)
    for tensor in _tensors(shape):
        if tensor.quantizable and quantization != gguf.GGMLQuantizationType.F32:
            data = gguf.quants.quantize(values(tensor), quantization)
            writer.add_tensor(tensor.name, data, raw_dtype=quantization)
        else:
            writer.add_tensor(tensor.name, values(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def drawn(tensor: Tensor, generator: np.random.Generator) -> NDArray[np.float32]:
    fan_in = tensor.shape[-1] if len(tensor.shape) > 1 and tensor.mean == 0 else 1
    values = generator.standard_normal(tensor.shape) * (tensor.spread / fan_in**0.5) + tensor.mean
    return np.asarray(values, np.float32)


def _tensors(architecture: Architecture) -> Iterator[Tensor]:
    size = vocabulary_size()
    yield Tensor("token_embd.weight", (size, EMBED), spread=architecture.embedding_spread)
    for index in range(architecture.num_layers):
        yield from architecture.layer(index)
    yield Tensor(architecture.output_norm, (EMBED,), spread=0.1, mean=1.0, quantizable=False)
    yield Tensor("output.weight", (size, EMBED), spread=6.0)
    yield from architecture.more


def add_field(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_uint32(key, value)
