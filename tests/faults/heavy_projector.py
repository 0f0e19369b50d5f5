"""A projector as large as those in use (CLIP ViT-B at 336 pixels), and blind: its weights are zeros."""

from pathlib import Path

import gguf
import numpy as np

_WIDTH = 768
_HEADS = 12
_FEED_FORWARD = 3072
_LAYERS = 12
_IMAGE = 336
_PATCH = 14


def write_heavy_projector(path: Path, embed: int) -> None:
    """Write it for a model with embeddings of that length; some 170 MB."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    sizes = {
        "embedding_length": _WIDTH,
        "feed_forward_length": _FEED_FORWARD,
        "block_count": _LAYERS,
        "projection_dim": embed,
        "image_size": _IMAGE,
        "patch_size": _PATCH,
        "attention.head_count": _HEADS,
    }
    for name, size in sizes.items():
        writer.add_uint32(f"clip.vision.{name}", size)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for name in ("mean", "std"):
        writer.add_array(f"clip.vision.image_{name}", [0.5] * 3)
    for name, shape in _tensors(embed):
        is_matrix = len(shape) > 1 and not name.startswith("v.position")
        writer.add_tensor(name, np.zeros(shape, np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(embed: int) -> list[tuple[str, tuple[int, ...]]]:
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("v.patch_embd.weight", (_WIDTH, 3, _PATCH, _PATCH)),
        ("v.class_embd", (_WIDTH,)),
        ("v.position_embd.weight", ((_IMAGE // _PATCH) ** 2 + 1, _WIDTH)),
    ]
    matrices = {"mm.0": (embed, _WIDTH), "mm.2": (embed, embed)}
    norms = ["v.pre_ln"]
    for layer in range(_LAYERS):
        block = f"v.blk.{layer}"
        matrices |= {f"{block}.attn_{name}": (_WIDTH, _WIDTH) for name in ("q", "k", "v", "out")}
        matrices |= {f"{block}.ffn_up": (_FEED_FORWARD, _WIDTH), f"{block}.ffn_down": (_WIDTH, _FEED_FORWARD)}
        norms += [f"{block}.ln1", f"{block}.ln2"]
    for name, (rows, columns) in matrices.items():
        tensors += [(f"{name}.weight", (rows, columns)), (f"{name}.bias", (rows,))]
    for name in norms:
        tensors += [(f"{name}.weight", (_WIDTH,)), (f"{name}.bias", (_WIDTH,))]
    return tensors
