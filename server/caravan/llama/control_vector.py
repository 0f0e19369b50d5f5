"""Control vectors: directions that are added to what layers give, from GGUF files."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.config.llama_config import ContextOptions
from caravan.llama.gguf_reader import GgufReader, HeaderError, TensorPlace
from caravan.llama.model import Model

Directions = NDArray[np.float32]

_PREFIX = "direction."
_F32 = 0


def read_control_vectors(files: Iterable[tuple[str, float]], num_layers: int, width: int) -> Directions:
    """Add up the directions of all files, each by how strongly it counts: float32 [num_layers - 1, width].

    The first row is that of layer 1: llama.cpp has none for layer 0. Raises HeaderError and OSError.
    """
    total = np.zeros((num_layers - 1, width), np.float32)
    for name, scale in files:
        path = Path(name)
        with path.open("rb") as file:
            reader = GgufReader(file, os.fstat(file.fileno()).st_size)
            try:
                reader.preamble()
                reader.describe_tensors()
                _check(reader.places, num_layers, width)
            except HeaderError as error:
                raise HeaderError(f"the control vector {path}: {error}") from error
            for tensor, place in reader.places.items():
                file.seek(place.start)
                total[_layer(tensor) - 1] += scale * np.frombuffer(file.read(4 * width), "<f4")
    return total


def _check(places: dict[str, TensorPlace], num_layers: int, width: int) -> None:
    if not places:
        raise HeaderError("there is no direction in it")
    for tensor, place in places.items():
        layer = _layer(tensor)
        if not 0 < layer < num_layers:
            raise HeaderError(f"'{tensor}' is for no layer of this model, whose last one is {num_layers - 1}")
        if place.kind != _F32 or place.num_items != width:
            kind = "float32" if place.kind == _F32 else f"numbers of type {place.kind}"
            raise HeaderError(f"'{tensor}' has {place.num_items} {kind}, and the model's are {width} float32")


def _layer(tensor: str) -> int:
    """The layer of a direction; 0, which has none, for any other name."""
    number = tensor.removeprefix(_PREFIX)
    return int(number) if tensor.startswith(_PREFIX) and number.isdecimal() and len(number) < 4 else 0


def steer(context: int, model: Model, options: ContextOptions) -> None:
    """Have a native context add the options' control vectors. Raises HeaderError and OSError."""
    num_layers, width = model.num_layers, model.hidden_size
    directions = read_control_vectors(options.control_vectors, num_layers, width)
    first, last = options.control_vector_layers or (1, num_layers)
    if last > num_layers:
        raise HeaderError(f"control_vector_layer_range: this model has {num_layers} layers, and no {last}")
    pointer = directions.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    if llama_cpp.llama_set_adapter_cvec(context, pointer, directions.size, width, first, last) != 0:
        raise HeaderError("llama.cpp cannot take the control vectors")
