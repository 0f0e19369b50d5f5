"""Starts llama.cpp once per process and routes its log into ours."""

import contextlib
import ctypes
import functools
import logging
import os
import threading
from collections.abc import Generator
from pathlib import Path

import llama_cpp
import llama_cpp.llama_cpp

log = logging.getLogger("llama.cpp")

# ggml's level of errors. Its warnings are remarks on sizes that we chose on purpose.
_ERROR = 4
_CONTINUED = 5
# Of its warnings, what an operator has asked for in vain.
_IN_VAIN = ("warning: failed to mlock", "warning: mlock not supported")
# GGML_BACKEND_DEVICE_TYPE_GPU and _IGPU.
_GPU_TYPES = (1, 2)


class _LogBridge:
    """Joins llama.cpp's partial lines and hands whole ones to `logging`.

    All but errors are for those who look for a fault: it describes its start-up in hundreds of lines.
    """

    def __init__(self) -> None:
        self._level = logging.DEBUG
        self._pending = ""
        self.callback = llama_cpp.llama_log_callback(self._receive)

    def _receive(self, level: int, text: bytes, _user_data: object) -> None:
        if level != _CONTINUED:
            self._level = logging.ERROR if level == _ERROR else logging.DEBUG
        self._pending += text.decode("utf-8", errors="replace")
        *lines, self._pending = self._pending.split("\n")
        for line in lines:
            if line:
                log.log(logging.WARNING if line.startswith(_IN_VAIN) else self._level, "%s", line)


class _Reasons(logging.Filter):
    """Holds back the errors that llama.cpp logs on this thread."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.lines: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """Take errors, let the rest pass."""
        if record.levelno < logging.ERROR or record.thread != self._thread:
            return True
        self.lines.append(record.getMessage())
        return False


@contextlib.contextmanager
def reasons() -> Generator[list[str], None, None]:
    """Hold back the errors that llama.cpp logs within the block; of its failures the first is the reason."""
    held = _Reasons()
    log.addFilter(held)
    try:
        yield held.lines
    finally:
        log.removeFilter(held)


@functools.cache
def start() -> _LogBridge:
    """Initialise the backends and the log bridge; later calls do nothing.

    The result keeps the callback alive.
    """
    bridge = _LogBridge()
    llama_cpp.llama_log_set(bridge.callback, ctypes.c_void_p(0))
    load_modules()
    llama_cpp.llama_backend_init()
    return bridge


def load_modules() -> None:
    """Load the kernels of a portable build, which are modules beside the library, one for each generation of
    processors and one for each kind of GPU; of the former, the best that this processor runs
    (`ggml_backend_load_all_from_path`). Other builds have theirs in the library itself.
    """
    folder = Path(llama_cpp.__file__).parent / "lib"
    if any(folder.glob("libggml-cpu-*.so")):
        # By its name alone this is the library that llama.cpp has loaded; a path could load it once more.
        (library,) = folder.glob("libggml.so.[0-9]")
        ctypes.CDLL(library.name).ggml_backend_load_all_from_path(os.fsencode(folder))


def build() -> str:
    """Tell which llama.cpp this is, and for which processors and GPUs."""
    return f"{llama_cpp.__version__} {system_info()}"


def system_info() -> str:
    """Return the CPU and GPU features that this build of llama.cpp uses (`llama_print_system_info`)."""
    start()
    return str(llama_cpp.llama_print_system_info().decode())


def has_runs_of_rows() -> bool:
    """Whether attention on the processor is ours (`deploy/build/patches/attention-by-sequence.patch`), which
    keeps rows of different sequences apart.
    """
    return "RUNS_OF_ROWS = 1" in system_info()


@contextlib.contextmanager
def window_cells(num_cells: int) -> Generator[None, None, None]:
    """Have contexts that are made within the block keep so many cells in layers with a sliding window, where
    `can_choose_window_cells`.
    """
    if not can_choose_window_cells():
        yield
        return
    native = llama_cpp.llama_cpp._lib
    native.caravan_set_window_cells(ctypes.c_uint32(num_cells))
    try:
        yield
    finally:
        native.caravan_set_window_cells(ctypes.c_uint32(0))


def can_choose_window_cells() -> bool:
    """Whether layers with a sliding window have as many cells as one says
    (`deploy/build/patches/window-cells.patch`).
    """
    return hasattr(llama_cpp.llama_cpp._lib, "caravan_set_window_cells")


def has_gpu() -> bool:
    """Tell whether layers can be put elsewhere than on the processor: on a GPU, or on what a worker has.

    `llama_supports_gpu_offload` says that of every build with RPC.
    """
    start()
    native = llama_cpp.llama_cpp._lib
    native.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    return any(native.ggml_backend_dev_by_type(kind) for kind in _GPU_TYPES)


def max_sequences() -> int:
    """Tell how many sequence ids a context may have (`llama_max_parallel_sequences`)."""
    return int(llama_cpp.llama_max_parallel_sequences())
