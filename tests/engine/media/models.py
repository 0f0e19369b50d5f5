"""Tiny models that take images, one for each way in which llama.cpp computes them."""

from pathlib import Path

import numpy as np

from tests.tiny_model import (
    EMBED,
    HEAD_SIZE,
    Architecture,
    Fields,
    attention_fields,
    drawn,
    transformer_layer,
    write_shape,
    write_tiny_model,
)
from tests.tiny_projector import write_tiny_text

# Their cells of images have places in rows and columns.
WITH_GRIDS = {"qwen2vl", "qwen3vl"}
_DEEPSTACK = 2


def _qwen3vl_fields(num_layers: int) -> Fields:
    sections = [HEAD_SIZE // 2 - 5, 3, 2, 0]
    return attention_fields(num_layers) | {
        "rope.dimension_sections": sections,
        "n_deepstack_layers": _DEEPSTACK,
    }


_QWEN3VL = Architecture(3, _qwen3vl_fields, lambda index: transformer_layer(index, normed=True))


def write_media_model(folder: Path, kind: str) -> tuple[Path, int]:
    """Write one; its path, and how long the vectors are that it takes for a cell of an image.

    Some have more than one vector in it, for several layers (deepstack).
    """
    path = folder / f"{kind}.gguf"
    if kind == "qwen3vl":
        generator = np.random.default_rng(0)
        write_shape(path, kind, lambda tensor: drawn(tensor, generator), shape=_QWEN3VL)
        return path, EMBED * (1 + _DEEPSTACK)
    if kind == "qwen2vl":
        write_tiny_text(path, kind)
    else:
        write_tiny_model(path, kind)
    return path, EMBED
