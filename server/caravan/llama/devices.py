"""The GPUs that llama.cpp would put layers on, and the memory they have."""

import ctypes
from collections.abc import Iterable, Iterator

import llama_cpp.llama_cpp
import msgspec

from caravan.llama import library

_CPU, _GPU, _INTEGRATED_GPU = 0, 1, 2
# What a device of Apple's is called. Its memory is the machine's, though llama.cpp counts it as a GPU's.
_METAL = b"MTL"
# What a device of a worker on another machine is called (`caravan.llama.rpc`).
_RPC = b"RPC"


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one GPU. If `is_shared`, its memory is a part of the machine's; one that `is_remote` is a
    device of a worker, and none of this machine.
    """

    free: int
    total: int
    is_shared: bool = False
    is_remote: bool = False


class _Properties(ctypes.Structure):
    """`ggml_backend_dev_props`; its last member, what the device is capable of, is a row of booleans.
    `pointer` is the device itself.
    """

    pointer: int = 0

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 32),
    )


def gpus() -> tuple[Gpu, ...]:
    """List those that a model is put on, unless it is told otherwise."""
    return _usable(_devices())


def device_pointers() -> list[int]:
    """List the devices that a worker lends: GPUs, or the processor where there are none."""
    return [device.pointer for device in _lent()]


def device_names() -> list[str]:
    """Tell what these are, for people."""
    return [f"{device.name.decode()} ({device.description.decode()})" for device in _lent()]


def buffer_types() -> dict[str, int]:
    """Tell the kinds of memory that weights can be put into by name, with llama.cpp's handle of each."""
    native = llama_cpp.llama_cpp._lib
    found = {}
    for device in _devices():
        native.ggml_backend_dev_buffer_type.restype = ctypes.c_void_p
        native.ggml_backend_buft_name.restype = ctypes.c_char_p
        kind = native.ggml_backend_dev_buffer_type(ctypes.c_void_p(device.pointer))
        found[native.ggml_backend_buft_name(ctypes.c_void_p(kind)).decode()] = int(kind)
    return found


def _lent() -> list[_Properties]:
    devices = list(_devices())
    on_gpus = [device for device in devices if device.type in (_GPU, _INTEGRATED_GPU)]
    return on_gpus or [device for device in devices if device.type == _CPU]


def _usable(devices: Iterable["_Properties"]) -> tuple[Gpu, ...]:
    """One entry for each GPU, however many drivers it has, behind those of workers; integrated ones where
    there are no others (`llama_prepare_model_devices`).
    """
    found: dict[object, _Properties] = {}
    for index, device in enumerate(devices):
        found.setdefault(device.device_id or index, device)
    separate = [device for device in found.values() if device.type == _GPU]
    remote = [device for device in separate if device.name.startswith(_RPC)]
    own = [device for device in separate if device not in remote]
    own = own or [device for device in found.values() if device.type == _INTEGRATED_GPU]
    return tuple(
        Gpu(
            free=device.memory_free,
            total=device.memory_total,
            is_shared=device.type == _INTEGRATED_GPU or device.name.startswith(_METAL),
            is_remote=device in remote,
        )
        for device in (*remote, *own)
    )


def _devices() -> Iterator[_Properties]:
    """All of ggml's devices, processors too, in its order (`ggml_backend_dev_get`)."""
    library.start()
    # It finds what the libraries export that llama.cpp itself is linked to.
    native = llama_cpp.llama_cpp._lib
    native.ggml_backend_dev_count.restype = ctypes.c_size_t
    native.ggml_backend_dev_get.restype = ctypes.c_void_p
    for index in range(native.ggml_backend_dev_count()):
        properties = _Properties()
        device = native.ggml_backend_dev_get(ctypes.c_size_t(index))
        native.ggml_backend_dev_get_props(ctypes.c_void_p(device), ctypes.byref(properties))
        properties.pointer = int(device)
        yield properties
