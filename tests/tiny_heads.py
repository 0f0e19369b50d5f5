"""Tiny models with heads as quantized cells need them, with experts, and control vectors."""

import dataclasses
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.tiny_model import (
    EMBED,
    FEED_FORWARD,
    HEAD_SIZE,
    KV_HEADS,
    Architecture,
    Fields,
    Tensor,
    attention_fields,
    attention_tensors,
    drawn,
    matrix,
    norm,
    transformer_layer,
    write_shape,
)


def write_wide_heads(path: Path, head_size: int, *, num_experts: int = 0) -> None:
    """Write a model whose heads have `head_size` numbers, at most EMBED, as quantized cells need them: 32 or
    a multiple. With `num_experts`, two of so many networks compute each token.
    """
    heads, kv_heads = EMBED // head_size, max(1, KV_HEADS * HEAD_SIZE // head_size)
    sizes = {
        "key_length": head_size,
        "value_length": head_size,
        "head_count": heads,
        "head_count_kv": kv_heads,
    }
    fields: Fields = {f"attention.{name}": size for name, size in sizes.items()}
    fields["rope.dimension_count"] = head_size
    if num_experts:
        fields |= {"expert_count": num_experts, "expert_used_count": 2}

    def layer(index: int) -> list[Tensor]:
        tensors = _expert_layer(index, num_experts) if num_experts else transformer_layer(index)
        rows = kv_heads * head_size
        return [
            dataclasses.replace(tensor, shape=(rows, EMBED))
            if tensor.name.endswith(("attn_k.weight", "attn_v.weight"))
            else tensor
            for tensor in tensors
        ]

    generator = np.random.default_rng(0)
    shape = Architecture(2, lambda num_layers: attention_fields(num_layers) | fields, layer)
    write_shape(path, "llama", lambda tensor: drawn(tensor, generator), shape=shape)


def write_long_positions(path: Path, original_context: int) -> None:
    """Write a model that turns positions otherwise in contexts that are longer than `original_context`."""
    fields: Fields = {
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": original_context,
    }
    factors = [
        Tensor(f"rope_factors_{name}.weight", (HEAD_SIZE // 2,), spread=0.0, mean=mean, quantizable=False)
        for name, mean in (("long", 4.0), ("short", 1.0))
    ]
    generator = np.random.default_rng(0)
    shape = Architecture(
        2, lambda num_layers: attention_fields(num_layers) | fields, transformer_layer, more=tuple(factors)
    )
    write_shape(path, "llama", lambda tensor: drawn(tensor, generator), shape=shape)


def _expert_layer(index: int, num_experts: int) -> list[Tensor]:
    block = f"blk.{index}"
    return [
        norm(f"{block}.attn_norm"),
        *attention_tensors(block),
        norm(f"{block}.ffn_norm"),
        matrix(f"{block}.ffn_gate_inp", num_experts, EMBED),
        Tensor(f"{block}.ffn_gate_exps.weight", (num_experts, FEED_FORWARD, EMBED)),
        Tensor(f"{block}.ffn_up_exps.weight", (num_experts, FEED_FORWARD, EMBED)),
        Tensor(f"{block}.ffn_down_exps.weight", (num_experts, EMBED, FEED_FORWARD)),
    ]


def write_control_vector(path: Path, directions: dict[int, NDArray[np.float32]]) -> None:
    """Write a control vector: what is added to each of these layers."""
    writer = gguf.GGUFWriter(path, "controlvector")
    for layer, direction in directions.items():
        writer.add_tensor(f"direction.{layer}", direction)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
