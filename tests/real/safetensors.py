"""The tensors of a safetensors file: eight bytes that say how long the table is, the table, the numbers."""

import json
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}


def read_safetensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """Each tensor by its name, mapped from the file."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        table = json.loads(file.read(size))
    table.pop("__metadata__", None)
    return {
        name: np.memmap(
            path, _DTYPES[entry["dtype"]], "r", 8 + size + entry["data_offsets"][0], tuple(entry["shape"])
        )
        for name, entry in table.items()
    }
