"""llama.cpp's parameters of loading weights, from options by its names."""

import ctypes
import logging
from collections.abc import Iterable
from pathlib import Path

import llama_cpp

from caravan.config.llama_config import WeightOptions
from caravan.llama import library
from caravan.llama.devices import buffer_types

log = logging.getLogger(__name__)

_LOAD_MODES = {"auto": -1, "none": 0, "mmap": 1, "mlock": 2, "mmap+mlock": 3, "dio": 4}
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2, "tensor": 3}
_NUMA = {"distribute": 1, "isolate": 2, "numactl": 3}


class UnknownBufferError(Exception):
    """An option names a buffer that no device here has; one line."""


class _Override(ctypes.Structure):
    """`llama_model_tensor_buft_override`, which llama-cpp-python does not define."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def set_weight_params(params: "llama_cpp.llama_model_params", options: WeightOptions) -> list[object]:
    """Write the options that are not llama.cpp's own defaults; the result has to live while weights are
    loaded. Raises UnknownBufferError.
    """
    kept: list[object] = []
    params.load_mode = _LOAD_MODES[options.load_mode]
    params.split_mode = _SPLIT_MODES[options.split_mode]
    params.main_gpu = options.main_gpu
    if options.tensor_split:
        shares = (ctypes.c_float * llama_cpp.llama_max_devices())(*options.tensor_split)
        params.tensor_split = ctypes.cast(shares, ctypes.POINTER(ctypes.c_float))
        kept.append(shares)
    if options.overrides:
        overrides = _overrides(options.overrides)
        params.tensor_buft_overrides = ctypes.cast(overrides, ctypes.c_void_p)
        kept.append(overrides)
    return kept


def _overrides(pairs: Iterable[tuple[str, str]]) -> "ctypes.Array[_Override]":
    known = buffer_types()
    found = []
    for pattern, buffer in pairs:
        if buffer not in known:
            raise UnknownBufferError(
                f"override_tensor: there is no buffer '{buffer}' here; there are {', '.join(known)}"
            )
        found.append(_Override(pattern.encode(), known[buffer]))
    # An entry without a pattern is the end of the list.
    return (_Override * (len(found) + 1))(*found)


def use_numa(strategy: str) -> None:
    """Have ggml's threads and memory keep to nodes of the machine (`llama_numa_init`); once in a process."""
    library.start()
    if strategy:
        llama_cpp.llama_numa_init(_NUMA[strategy])


def num_numa_nodes(root: Path = Path("/")) -> int:
    """Count the machine's memory nodes, as ggml does; 1 where Linux does not say."""
    return max(1, len(list((root / "sys/devices/system/node").glob("node[0-9]*"))))
