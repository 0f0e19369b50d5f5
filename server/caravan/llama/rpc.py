"""Workers on other machines that hold and compute layers of a model, over llama.cpp's RPC backend.

What is sent to them is neither encrypted nor asked for a key, and a worker that is lost in the middle of a
step ends the process (`RPC_STATUS_ASSERT` in ggml-rpc.cpp): nothing but an engine's own process uses them.
"""

import ctypes
import functools
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp

from caravan.llama import library
from caravan.llama.devices import device_pointers

NOT_BUILT = "this build of llama.cpp has no RPC; that of `make native` has it"
_CONNECT_SECONDS = 5.0
# RPC_PROTO_MAJOR_VERSION; what a client begins with: the command, its length, no abilities of its network.
_PROTOCOL = 7
_LENGTH = struct.Struct("<Q")
_NO_ABILITIES = bytes(24)
_HELLO = b"\x0e" + _LENGTH.pack(len(_NO_ABILITIES)) + _NO_ABILITIES


class RpcError(Exception):
    """A worker cannot be used, or none can; the message is one line."""


def is_built() -> bool:
    """Whether this build of llama.cpp has the backend."""
    return _registry() is not None


def add_workers(addresses: Iterable[str]) -> None:
    """Let models be put on workers, `host:port` each; what is known already is not added again.

    Raises RpcError over one that cannot be reached, or is of another version.
    """
    for address in addresses:
        _add_worker(address)


@functools.cache
def _add_worker(address: str) -> None:
    add = _function("ggml_backend_rpc_add_server", ctypes.c_void_p, ctypes.c_char_p)
    _greet(address)
    registry = add(address.encode())
    if not registry:
        raise RpcError(f"the worker {address} of --rpc has no device")
    _native().ggml_backend_register(ctypes.c_void_p(registry))


def _greet(address: str) -> None:
    """Say hello as llama.cpp does (`negotiate_hello`), which ends the process where that fails, or waits for
    ever for a worker that works for another.
    """
    worker = f"the worker {address} of --rpc"
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT_SECONDS) as opened:
            opened.sendall(_HELLO)
            answer = opened.makefile("rb").read(_LENGTH.size + 1)
    except TimeoutError as error:
        raise RpcError(
            f"{worker} does not answer; one that works for another engine answers nobody else"
        ) from error
    except OSError as error:
        raise RpcError(f"{worker} cannot be reached: {error.strerror or error}") from error
    if answer[_LENGTH.size :] != bytes([_PROTOCOL]):
        raise RpcError(f"{worker} has another version of llama.cpp, or is no worker")


def work(address: str, num_threads: int, cache_folder: Path | None) -> None:
    """Be a worker at an address, with this machine's GPUs or, where there are none, its processor; does not
    return. Raises RpcError.
    """
    devices = list(device_pointers())
    serve = _function(
        "ggml_backend_rpc_start_server",
        None,
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t),
        ctypes.POINTER(ctypes.c_void_p),
    )
    folder = None if cache_folder is None else os.fsencode(cache_folder)
    array = (ctypes.c_void_p * len(devices))(*devices)
    serve(address.encode(), folder, num_threads, len(devices), array)


def _function(name: str, result: Any, *arguments: Any) -> Any:  # noqa: ANN401 (ctypes' own kinds)
    """A function of the backend, which may be a module of its own (`ggml_backend_reg_get_proc_address`)."""
    registry = _registry()
    if registry is None:
        raise RpcError(NOT_BUILT)
    native = _native()
    native.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
    pointer = native.ggml_backend_reg_get_proc_address(ctypes.c_void_p(registry), name.encode())
    return ctypes.CFUNCTYPE(result, *arguments)(pointer)


def _registry() -> int | None:
    library.start()
    native = _native()
    native.ggml_backend_reg_by_name.restype = ctypes.c_void_p
    found = native.ggml_backend_reg_by_name(b"RPC")
    return None if found is None else int(found)


def _native() -> Any:  # noqa: ANN401 (a library of ctypes)
    # It finds what the libraries export that llama.cpp itself is linked to.
    return llama_cpp.llama_cpp._lib
