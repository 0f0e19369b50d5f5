"""Tiny LoRA adapters, and models that have them merged into their weights."""

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

RANK = 4


def write_adapter(
    path: Path, model: Path, seed: int, *, alpha: float = 8.0, invocation: list[int] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Write an adapter for all matrices of the layers of a tiny model, and tell what it adds to each."""
    reader = gguf.GGUFReader(model)
    architecture = str(bytes(reader.fields["general.architecture"].parts[-1]), "utf-8")
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    if invocation is not None:
        key, kinds = "adapter.alora.invocation_tokens", gguf.GGUFValueType
        writer.add_key_value(key, invocation, kinds.ARRAY, sub_type=kinds.UINT32)
    added = {}
    for tensor in reader.tensors:
        is_matrix = tensor.name.startswith("blk.") and len(tensor.data.shape) == 2
        # llama.cpp multiplies by no others, and an adapter's matrices for these would have no effect.
        if not is_matrix or "conv" in tensor.name or tensor.name.endswith("ssm_a"):
            continue
        rows, columns = tensor.data.shape
        a = rng.standard_normal((RANK, columns)).astype(np.float32) / columns**0.5
        b = rng.standard_normal((rows, RANK)).astype(np.float32) / RANK
        writer.add_tensor(f"{tensor.name}.lora_a", a)
        writer.add_tensor(f"{tensor.name}.lora_b", b)
        added[tensor.name] = alpha / RANK * (b @ a)
    write(writer)
    return added


def write_merged(path: Path, model: Path, added: dict[str, NDArray[np.float32]]) -> None:
    """Write a tiny model once more, with something added to its weights."""
    reader = gguf.GGUFReader(model)
    architecture = str(bytes(reader.fields["general.architecture"].parts[-1]), "utf-8")
    writer = gguf.GGUFWriter(path, architecture)
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            kind = field.types[0]
            sub_type = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data + added.get(tensor.name, np.float32(0)))
    write(writer)


def write(writer: gguf.GGUFWriter) -> None:
    """Write what a writer has been told, and close it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
