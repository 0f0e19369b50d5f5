"""Attention as ggml computes it on this processor, by its C API: as served, and by ggml's own reference."""

import ctypes
import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from tests.llama.products import Floats, Processor, function, quantized

Halves = NDArray[np.float16]
Numbers = NDArray[np.int32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attention:
    """Inputs as llama.cpp lays them out: queries [streams, rows, heads, size], keys and values
    [streams, cells, heads, size], a mask [streams, rows, cells] or None, a sink for each head of queries.

    `places` [streams, cells + rows] are the positions of cells and the sequences of rows, if they are told;
    behind them may be [cells] the order of cells that have one position together.
    """

    q: Floats
    k: Floats
    v: Floats
    mask: Halves | None
    sinks: Floats | None = None
    places: Numbers | None = None
    softcap: float = 0.0
    max_bias: float = 0.0
    k_kind: Kind = Kind.F16
    v_kind: Kind = Kind.F16

    @property
    def scale(self) -> float:
        return float(self.q.shape[-1] ** -0.5)

    @property
    def slopes(self) -> NDArray[np.float64]:
        """ALiBi's factors of the mask, one for each head."""
        heads = self.q.shape[2]
        if not self.max_bias:
            return np.ones(heads)
        base = 2 ** int(np.log2(heads))
        powers = [h + 1.0 if h < base else (2 * (h - base) + 1) / 2 for h in range(heads)]
        return np.array([2.0 ** (-self.max_bias / base * power) for power in powers])

    def expected(self) -> NDArray[np.float64]:
        """softmax(q k^T + mask) v in float64, with the sink as one more score without a value."""
        ratio = self.q.shape[2] // self.k.shape[2]
        q = self.q.astype(np.float64)
        k = np.repeat(as_stored(self.k, self.k_kind), ratio, 2).astype(np.float64)
        v = np.repeat(as_stored(self.v, self.v_kind), ratio, 2).astype(np.float64)
        scores = np.einsum("srhd,schd->shrc", q, k) * self.scale
        if self.softcap:
            scores = self.softcap * np.tanh(scores / self.softcap)
        if self.mask is not None:
            scores = scores + self.slopes[:, None, None] * self.mask.astype(np.float64)[:, None]
        sinks = np.full(q.shape[2], -np.inf) if self.sinks is None else self.sinks.astype(np.float64)
        sinks = sinks[None, :, None, None]
        largest = np.maximum(scores.max(-1, keepdims=True), sinks)
        largest = np.where(np.isinf(largest), 0.0, largest)
        weights = np.exp(scores - largest)
        sums = weights.sum(-1, keepdims=True) + np.exp(sinks - largest)
        weights /= np.where(sums == 0, 1.0, sums)
        result: NDArray[np.float64] = np.einsum("shrc,schd->srhd", weights, v)
        return result


def as_stored(data: Floats, kind: Kind) -> Floats:
    """What is left of numbers in cells of this kind."""
    if kind is Kind.F16:
        return data.astype(np.float16).astype(np.float32)
    rows = data.reshape(-1, data.shape[-1])
    stored = np.frombuffer(quantized(rows, kind), np.uint8).reshape(len(rows), -1)
    found: Floats = gguf.quants.dequantize(stored, kind).reshape(data.shape)
    return found


class AttentionOperator(Processor):
    """ggml's attention operator."""

    def compute(self, attention: Attention, num_threads: int = 1, *, use_ref: bool = False) -> Floats:
        """The result, float32 [streams, rows, heads, size]; `use_ref` asks for ggml's own."""
        streams, rows, heads, _ = attention.q.shape
        size = attention.v.shape[-1]
        with self._graph(attention) as (inputs, result), ExitStack() as stack:
            backend = self._backend(stack, num_threads)
            if use_ref:
                name = b"ggml_backend_cpu_set_use_ref"
                set_use_ref = ctypes.CFUNCTYPE(None, c_void_p, c_bool)(self._address(self._registry, name))
                set_use_ref(backend, True)
            graph = function("ggml_new_graph", c_void_p, c_void_p)(inputs)
            function("ggml_build_forward_expand", None, c_void_p, c_void_p)(graph, result)
            assert function("ggml_backend_graph_compute", c_int, c_void_p, c_void_p)(backend, graph) == 0
            found = np.empty((streams, rows, heads, size), np.float32)
            read = function("ggml_backend_tensor_get", None, c_void_p, c_void_p, c_size_t, c_size_t)
            read(result, found.ctypes.data, 0, found.nbytes)
        return found

    @contextmanager
    def _graph(self, attention: Attention) -> Iterator[tuple[int, int]]:
        """The context and the result's tensor, with all inputs written."""
        with ExitStack() as stack:
            context = self._context(stack)
            new = function("ggml_new_tensor", c_void_p, c_void_p, c_int, c_int, c_void_p)
            given: list[tuple[int, bytes]] = []

            def tensor(kind: Kind, data: NDArray[np.generic], *, is_cells: bool = False) -> int:
                shape = (c_int64 * data.ndim)(*data.shape[::-1])
                made: int = new(context, kind.value, data.ndim, shape)
                is_plain = not is_cells or kind in (Kind.F32, Kind.F16)
                rows = data.reshape(-1, data.shape[-1])
                given.append((made, data.tobytes() if is_plain else quantized(rows.astype(np.float32), kind)))
                if data.ndim < 4 or not is_cells:
                    return made
                # Heads lie beside each other in a cell, and come before the cells in what the operator reads.
                permute = function("ggml_permute", c_void_p, c_void_p, c_void_p, *[c_int] * 4)
                view: int = permute(context, made, 0, 2, 1, 3)
                return view

            q = tensor(Kind.F32, attention.q, is_cells=True)
            cells = [
                tensor(kind, data.astype(np.float16) if kind is Kind.F16 else data, is_cells=True)
                for data, kind in ((attention.k, attention.k_kind), (attention.v, attention.v_kind))
            ]
            mask = None if attention.mask is None else tensor(Kind.F16, attention.mask[:, None])
            extend = function("ggml_flash_attn_ext", c_void_p, *[c_void_p] * 5, *[c_float] * 3)
            result = extend(context, q, *cells, mask, attention.scale, attention.max_bias, attention.softcap)
            if attention.sinks is not None:
                sinks = tensor(Kind.F32, attention.sinks)
                function("ggml_flash_attn_ext_add_sinks", None, c_void_p, c_void_p)(result, sinks)
            if attention.places is not None:
                _sources(result, q, cells[0])[5] = tensor(Kind.I32, attention.places)
            assert self._allocate(stack, context, self._plain)
            for made, data in given:
                write = function("ggml_backend_tensor_set", None, c_void_p, c_char_p, c_size_t, c_size_t)
                write(made, data, 0, len(data))
            yield context, result


def _sources(result: int, first: int, second: int) -> "ctypes.Array[c_void_p]":
    """`src` of a `ggml_tensor`, found by its first two."""
    words = (c_void_p * 40).from_address(result)
    (start,) = (i for i in range(39) if words[i] == first and words[i + 1] == second)
    return (c_void_p * 10).from_address(result + start * ctypes.sizeof(c_void_p))
