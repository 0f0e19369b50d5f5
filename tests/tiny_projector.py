"""Random-weight projectors of some hundred kilobytes, for the models of `tests/tiny_model.py`.

They are real projectors to libmtmd: towers of two layers that read images of 32 x 32 pixels or sounds of 30
seconds. Weights come from a seed. The kinds are those in which llama.cpp decodes images differently.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.tiny_model import (
    ARCHITECTURES,
    EMBED,
    HEAD_SIZE,
    Architecture,
    Fields,
    Tensor,
    add_field,
    attention_fields,
    drawn,
    matrix,
    norm,
    transformer_layer,
    write_shape,
)

TOWER = 32
TOWER_HEADS = 2
TOWER_FEED_FORWARD = 48
TOWER_LAYERS = 2
IMAGE_SIZE = 32
PATCH_SIZE = 4
NUM_PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2
NUM_MELS = 16
# Of a sound of 30 seconds, after the first convolution that halves it.
NUM_FRAMES = 1500
STACKED = 50


@dataclasses.dataclass(frozen=True)
class Tower:
    """What libmtmd wants to find in a file, and the architecture of a model that it goes with."""

    text_architecture: str
    projector: str
    fields: Fields
    tensors: tuple[Tensor, ...]
    hears: bool = False
    embed: int = EMBED


def _normed(name: str, size: int = TOWER) -> list[Tensor]:
    return [norm(name, size), Tensor(f"{name}.bias", (size,), spread=0.1)]


def _linear(name: str, rows: int, columns: int, *, biased: bool = True) -> list[Tensor]:
    bias = [Tensor(f"{name}.bias", (rows,), spread=0.1)] if biased else []
    return [matrix(name, rows, columns), *bias]


def _layers(prefix: str, *, at_once: bool = False) -> list[Tensor]:
    """The layers of a tower; queries, keys and values are made `at_once` or each for itself."""
    tensors = []
    for index in range(TOWER_LAYERS):
        block = f"{prefix}.blk.{index}"
        if at_once:
            tensors += _linear(f"{block}.attn_qkv", 3 * TOWER, TOWER)
        for name in ("attn_out",) if at_once else ("attn_q", "attn_k", "attn_v", "attn_out"):
            # Whisper's keys have no bias, and libmtmd insists on that.
            tensors += _linear(f"{block}.{name}", TOWER, TOWER, biased=prefix == "v" or name != "attn_k")
        tensors += [*_normed(f"{block}.ln1"), *_normed(f"{block}.ln2")]
        tensors += _linear(f"{block}.ffn_up", TOWER_FEED_FORWARD, TOWER)
        tensors += _linear(f"{block}.ffn_down", TOWER, TOWER_FEED_FORWARD)
    return tensors


def _patches(name: str = "v.patch_embd.weight") -> Tensor:
    # `drawn` scales by the last axis alone: a patch has PATCH_SIZE * 3 times as many inputs.
    return Tensor(name, (TOWER, 3, PATCH_SIZE, PATCH_SIZE), spread=0.5)


def _positions(count: int, prefix: str = "v") -> Tensor:
    return Tensor(f"{prefix}.position_embd.weight", (count, TOWER), spread=3.0)


_LLAVA = Tower(
    "llama",
    "mlp",
    {"use_gelu": False},
    (
        _patches(),
        Tensor("v.class_embd", (TOWER,), spread=1.0),
        _positions(NUM_PATCHES + 1),
        *_normed("v.pre_ln"),
        *_layers("v"),
        *_linear("mm.0", EMBED, TOWER),
        *_linear("mm.2", EMBED, EMBED),
    ),
)
_GEMMA3 = Tower(
    "gemma3",
    "gemma3",
    {"use_gelu": True, "vision.projector.scale_factor": 2},
    (
        _patches(),
        Tensor("v.patch_embd.bias", (TOWER,), spread=0.1),
        _positions(NUM_PATCHES),
        *_layers("v"),
        *_normed("v.post_ln"),
        matrix("mm.input_projection", TOWER, EMBED, 3.0),
        norm("mm.soft_emb_norm", TOWER),
    ),
)
_QWEN2VL = Tower(
    "qwen2vl",
    "qwen2vl_merger",
    {"use_silu": False, "vision.spatial_merge_size": 2},
    (
        _patches(),
        _patches("v.patch_embd.weight.1"),
        *_layers("v"),
        *_normed("v.post_ln"),
        *_linear("mm.0", EMBED, 4 * TOWER),
        *_linear("mm.2", EMBED, EMBED),
    ),
)
# Of what a layer has seen, the model's first layer gets a part, too: rows are twice as long as a token's.
_QWEN3VL = Tower(
    "qwen3vl",
    "qwen3vl_merger",
    {"use_gelu": True, "vision.spatial_merge_size": 2},
    (
        _patches(),
        _patches("v.patch_embd.weight.1"),
        Tensor("v.patch_embd.bias", (TOWER,), spread=0.1),
        _positions(NUM_PATCHES),
        *_layers("v", at_once=True),
        *_normed("v.post_ln"),
        *_normed("v.deepstack.0.norm", 4 * TOWER),
        *_linear("v.deepstack.0.fc1", EMBED, 4 * TOWER),
        *_linear("v.deepstack.0.fc2", EMBED, EMBED),
        *_linear("mm.0", EMBED, 4 * TOWER),
        *_linear("mm.2", EMBED, EMBED),
    ),
)
_ULTRAVOX = Tower(
    "llama",
    "ultravox",
    {"audio.num_mel_bins": NUM_MELS, "audio.projector.stack_factor": STACKED},
    (
        Tensor("a.conv1d.1.weight", (TOWER, NUM_MELS, 3)),
        Tensor("a.conv1d.1.bias", (TOWER, 1), spread=0.1),
        Tensor("a.conv1d.2.weight", (TOWER, TOWER, 3)),
        Tensor("a.conv1d.2.bias", (TOWER, 1), spread=0.1),
        _positions(NUM_FRAMES, "a"),
        *_layers("a"),
        *_normed("a.post_ln"),
        norm("mm.a.norm_pre", TOWER * STACKED),
        matrix("mm.a.mlp.1", 2 * EMBED, TOWER * STACKED),
        norm("mm.a.norm_mid", EMBED),
        matrix("mm.a.mlp.2", EMBED, EMBED),
    ),
    hears=True,
)

TOWERS = {"llava": _LLAVA, "gemma3": _GEMMA3, "qwen2vl": _QWEN2VL, "qwen3vl": _QWEN3VL, "ultravox": _ULTRAVOX}


def write_tiny_projector(path: Path, kind: str, *, seed: int = 0, embed: int = EMBED) -> None:
    """Write a projector of `kind`, a key of TOWERS; with another `embed`, one that fits no tiny model."""
    tower = TOWERS[kind]
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_name(f"tiny-{kind}")
    for key, value in _fields(tower).items():
        add_field(writer, f"clip.{key}", value)
    for tensor in tower.tensors:
        shape = tuple(
            embed if tensor.name.startswith("mm.") and size == EMBED else size for size in tensor.shape
        )
        writer.add_tensor(tensor.name, _values(dataclasses.replace(tensor, shape=shape), generator))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_tiny_pair(folder: Path, kind: str, *, seed: int = 0) -> tuple[Path, Path]:
    """Write a model and its projector; their paths."""
    model, projector = folder / f"{kind}.gguf", folder / f"mmproj-{kind}.gguf"
    write_tiny_text(model, kind, seed=seed)
    write_tiny_projector(projector, kind, seed=seed)
    return model, projector


def write_tiny_text(path: Path, kind: str, *, seed: int = 0) -> None:
    """Write a model that goes with projectors of this kind."""
    architecture = TOWERS[kind].text_architecture
    generator = np.random.default_rng(seed)
    shape = _TEXTS.get(architecture) or ARCHITECTURES[architecture]
    values: Callable[[Tensor], NDArray[np.float32]] = lambda tensor: drawn(tensor, generator)  # noqa: E731
    write_shape(path, architecture, values, shape=shape)


def _qwen2vl_fields(num_layers: int) -> Fields:
    # Pairs of rotated numbers that turn with time, row and column.
    return attention_fields(num_layers) | {"rope.dimension_sections": [2, HEAD_SIZE // 2 - 5, 3, 0]}


def _qwen3vl_fields(num_layers: int) -> Fields:
    return _qwen2vl_fields(num_layers) | {"n_deepstack_layers": 1}


_TEXTS = {
    "qwen2vl": Architecture(2, _qwen2vl_fields, lambda index: transformer_layer(index, biased=True)),
    "qwen3vl": Architecture(2, _qwen3vl_fields, lambda index: transformer_layer(index, normed=True)),
}


def _fields(tower: Tower) -> Fields:
    prefix = "audio" if tower.hears else "vision"
    fields: Fields = {
        f"has_{prefix}_encoder": True,
        "projector_type": tower.projector,
        f"{prefix}.embedding_length": TOWER,
        f"{prefix}.feed_forward_length": TOWER_FEED_FORWARD,
        f"{prefix}.block_count": TOWER_LAYERS,
        f"{prefix}.projection_dim": EMBED,
        f"{prefix}.attention.head_count": TOWER_HEADS,
        f"{prefix}.attention.layer_norm_epsilon": 1e-5,
    }
    if not tower.hears:
        fields |= {
            "vision.image_size": IMAGE_SIZE,
            "vision.patch_size": PATCH_SIZE,
            "vision.image_mean": [0.5, 0.5, 0.5],
            "vision.image_std": [0.5, 0.5, 0.5],
        }
    return fields | tower.fields


def _values(tensor: Tensor, generator: np.random.Generator) -> NDArray[np.float32]:
    return drawn(tensor, generator)
