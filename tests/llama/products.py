"""Products of matrices as ggml computes them on this processor, by its own C API."""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import gguf
import llama_cpp.llama_cpp
import numpy as np
from caravan.llama import library
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_PROCESSOR = 0


class _InitParams(ctypes.Structure):
    """`ggml_init_params`."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


def function(name: str, result: Any, *arguments: Any) -> Any:  # noqa: ANN401 (ctypes has no common type)
    """A function of llama.cpp's library or ggml's."""
    library.start()
    function = getattr(llama_cpp.llama_cpp._lib, name)
    function.restype, function.argtypes = result, arguments
    return function


class Processor:
    """ggml's device for this processor, and the ways in which it keeps weights."""

    def __init__(self) -> None:
        self._device = function("ggml_backend_dev_by_type", c_void_p, c_int)(_PROCESSOR)
        registry = function("ggml_backend_dev_backend_reg", c_void_p, c_void_p)(self._device)
        self._address = function("ggml_backend_reg_get_proc_address", c_void_p, c_void_p, c_char_p)
        self._registry = registry
        self._plain = function("ggml_backend_dev_buffer_type", c_void_p, c_void_p)(self._device)

    def layouts(self) -> dict[str, int]:
        """Buffer types by name: rows as they are in files, and repacked for faster kernels."""
        name = function("ggml_backend_buft_name", c_char_p, c_void_p)
        return {name(kind).decode(): kind for kind in (self._plain, *self._extra())}

    def product(
        self, weights: bytes, kind: gguf.GGMLQuantizationType, rows: Floats, num_columns: int, layout: int
    ) -> Floats | None:
        """`rows` [n, k] times weights [num_columns, k]: float32 [n, num_columns]; None where a layout has no
        kernel for it.
        """
        with self.prepared(weights, kind, rows, num_columns, layout) as product:
            return None if product is None else product.compute()

    @contextmanager
    def prepared(
        self, weights: bytes, kind: gguf.GGMLQuantizationType, rows: Floats, num_columns: int, layout: int
    ) -> Iterator["Product | None"]:
        """The product, to be computed as often as one likes."""
        with ExitStack() as stack:
            context = self._context(stack)
            inputs = self._context(stack)
            new = function("ggml_new_tensor_2d", c_void_p, c_void_p, c_int, c_int64, c_int64)
            weight = new(context, kind.value, rows.shape[1], num_columns)
            activation = new(inputs, gguf.GGMLQuantizationType.F32.value, rows.shape[1], len(rows))
            result = function("ggml_mul_mat", c_void_p, c_void_p, c_void_p, c_void_p)(
                inputs, weight, activation
            )
            if not self._allocate(stack, context, layout) or not self._supports(result):
                yield None
                return
            self._allocate(stack, inputs, self._plain)
            self._write(weight, weights)
            self._write(activation, rows.tobytes())
            yield Product(self._backend(stack), inputs, result, (len(rows), num_columns))

    def _extra(self) -> Iterator[int]:
        address = self._address(self._registry, b"ggml_backend_dev_get_extra_bufts")
        if address:
            prototype = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)
            kinds = prototype(address)(self._device)
            for index in range(16):
                if not kinds[index]:
                    return
                yield kinds[index]

    @staticmethod
    def _context(stack: ExitStack) -> int:
        params = _InitParams(1 << 20, None, True)
        context: int = function("ggml_init", c_void_p, _InitParams)(params)
        stack.callback(function("ggml_free", None, c_void_p), context)
        return context

    @staticmethod
    def _allocate(stack: ExitStack, context: int, layout: int) -> bool:
        allocate = function("ggml_backend_alloc_ctx_tensors_from_buft", c_void_p, c_void_p, c_void_p)
        buffer = allocate(context, layout)
        if buffer:
            stack.callback(function("ggml_backend_buffer_free", None, c_void_p), buffer)
        return bool(buffer)

    def _supports(self, operation: int) -> bool:
        supports = function("ggml_backend_dev_supports_op", c_bool, c_void_p, c_void_p)
        return bool(supports(self._device, operation))

    @staticmethod
    def _write(tensor: int, data: bytes) -> None:
        write = function("ggml_backend_tensor_set", None, c_void_p, c_char_p, c_size_t, c_size_t)
        write(tensor, data, 0, len(data))

    def _backend(self, stack: ExitStack, num_threads: int = 1) -> int:
        backend: int = function("ggml_backend_dev_init", c_void_p, c_void_p, c_char_p)(self._device, None)
        stack.callback(function("ggml_backend_free", None, c_void_p), backend)
        address = self._address(self._registry, b"ggml_backend_set_n_threads")
        ctypes.CFUNCTYPE(None, c_void_p, c_int)(address)(backend, num_threads)
        return backend


class Product:
    """A graph of one product on one thread."""

    def __init__(self, backend: int, context: int, result: int, shape: tuple[int, int]) -> None:
        self._backend = backend
        self._result = result
        self._shape = shape
        self._graph = function("ggml_new_graph", c_void_p, c_void_p)(context)
        function("ggml_build_forward_expand", None, c_void_p, c_void_p)(self._graph, result)

    def compute(self) -> Floats:
        """Compute it and copy the result."""
        compute = function("ggml_backend_graph_compute", c_int, c_void_p, c_void_p)
        assert compute(self._backend, self._graph) == 0
        found = np.empty(self._shape, np.float32)
        read = function("ggml_backend_tensor_get", None, c_void_p, c_void_p, c_size_t, c_size_t)
        read(self._result, found.ctypes.data, 0, found.nbytes)
        return found


def quantized(weights: Floats, kind: gguf.GGMLQuantizationType) -> bytes:
    """Weights [rows, k] as a file stores them, by ggml's own quantization."""
    rows, width = weights.shape
    size = function("ggml_row_size", c_size_t, c_int, c_int64)(kind.value, width) * rows
    data = ctypes.create_string_buffer(size)
    importance = np.ones(width, np.float32)
    quantize = function(
        "ggml_quantize_chunk",
        c_size_t,
        c_int,
        c_void_p,
        c_void_p,
        c_int64,
        c_int64,
        c_int64,
        c_void_p,
    )
    quantize(kind.value, weights.ctypes.data, data, 0, rows, width, importance.ctypes.data)
    return data.raw
