"""Random weights in the formats of GGUF files, drawn as they are stored: none is made of floats first.

Matrices of Q4_K are mixed as in files called Q4_K_M: values and the last of a layer's products are Q6_K in
every third layer and at both ends, as the output is everywhere.
"""

import enum
from typing import Any, NamedTuple

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

from tests.bench import vocabulary

_CONSTANT = 1.7
_PUSH_DOWN = -12.0
# Rows are drawn in pieces, so that the largest matrix needs little memory.
_ROWS_AT_ONCE = 8192

Bytes = NDArray[np.uint8]


class Edge(enum.Enum):
    """What a matrix has to do with the constant: keep it out of its results, hold it, or push down by it."""

    NONE = "none"
    ZERO_ROW = "zero row"
    CONSTANT = "constant"
    PUSH_DOWN = "push down"


class _Format(NamedTuple):
    """How a block is stored: how many weights, in how many bytes, which of them are its float16 scale. By a
    scale of 1, weights have the standard deviation `spread`, and the first is `smallest` at the least.
    """

    weights: int
    size: int
    scale: int
    spread: float
    smallest: int


_FORMATS = {
    Quantization.Q4_0: _Format(32, 18, 0, 4.32, -7),
    Quantization.Q8_0: _Format(32, 34, 0, 73.3, -127),
    Quantization.Q4_K: _Format(256, 144, 0, 4.61, 0),
    Quantization.Q6_K: _Format(256, 210, 208, 18.5, -31),
}
# Eight scales and eight minima of 1, of six bits each; a weight is `scale * q - minimum`, q from 0 to 15.
_Q4_K_SCALES = np.array([1] * 8 + [0x11] * 4, np.uint8)
_Q4_K_MIDDLE = 7.5
# Two bits of each of four weights: all of them 32 of 0 to 63, which stands for 0.
_Q6_K_ZEROS = 0xAA


class Weights:
    """Draws tensors and hands them to the writer."""

    def __init__(
        self, writer: gguf.GGUFWriter, quantization: Quantization, generator: np.random.Generator
    ) -> None:
        self._writer = writer
        self._quantization = quantization
        self._generator = generator

    def vector(self, name: str, values: NDArray[np.float64]) -> None:
        """Any tensor of floats."""
        self._writer.add_tensor(name, values.astype(np.float32))

    def norm(self, name: str, size: int, first: float = 1.0) -> None:
        values = np.ones(size)
        values[0] = first
        self.vector(f"{name}.weight", values)

    def floats(self, name: str, rows: int, columns: int) -> None:
        """A small matrix that no file has quantized."""
        values = self._generator.standard_normal((rows, columns)) / columns**0.5
        self.vector(f"{name}.weight", values)

    def biased(self, name: str, rows: int, columns: int) -> None:
        self.matrix(name, rows, columns)
        self.vector(f"{name}.bias", np.zeros(rows))

    def biased_norm(self, name: str, size: int) -> None:
        self.norm(name, size)
        self.vector(f"{name}.bias", np.zeros(size))

    def matrix(
        self,
        name: str,
        rows: int,
        columns: int,
        spread: float = 1.0,
        edge: Edge = Edge.NONE,
        *,
        is_finer: bool = False,
        experts: int = 1,
    ) -> None:
        """A product with a vector of unit variance has standard deviation `spread`. `is_finer` is for what
        mixed files keep in more bits; `experts` have a matrix each, in one tensor.
        """
        quantization = self._quantization_of(edge, is_finer=is_finer)
        starts = range(0, rows * experts, _ROWS_AT_ONCE)
        counts = [min(_ROWS_AT_ONCE, rows * experts - start) for start in starts]
        pieces = [self._drawn(count, columns, spread / columns**0.5, quantization) for count in counts]
        data = np.concatenate(pieces)
        if data.dtype == np.float32:
            _set_float_edge(data, edge, rows)
            self._writer.add_tensor(f"{name}.weight", data)
            return
        _set_quantized_edge(data, edge, rows, quantization)
        shape = (rows, -1) if experts == 1 else (experts, rows, data[0].size)
        self._writer.add_tensor(f"{name}.weight", data.reshape(shape), raw_dtype=quantization)

    def _quantization_of(self, edge: Edge, *, is_finer: bool) -> Quantization:
        if self._quantization is not Quantization.Q4_K:
            return self._quantization
        if edge is Edge.CONSTANT:
            # Embeddings are looked up; as large in Q4_0, which has a place for the constant.
            return Quantization.Q4_0
        return Quantization.Q6_K if is_finer or edge is Edge.PUSH_DOWN else Quantization.Q4_K

    def _drawn(
        self, rows: int, columns: int, spread: float, quantization: Quantization
    ) -> NDArray[np.generic]:
        """Floats [rows, columns], or quantized rows [rows, blocks, bytes of a block]."""
        if quantization is Quantization.F32:
            return self._generator.standard_normal((rows, columns), np.float32) * np.float32(spread)
        format_ = _FORMATS[quantization]
        data = np.empty((rows, columns // format_.weights, format_.size), np.uint8)
        match quantization:
            case Quantization.Q4_0:
                shape = (*data.shape[:2], 16)
                low = self._generator.integers(1, 16, shape, dtype=np.uint8)
                data[:, :, 2:] = low | (self._generator.integers(1, 16, shape, dtype=np.uint8) << 4)
            case Quantization.Q8_0:
                shape = (*data.shape[:2], 32)
                data[:, :, 2:] = self._generator.integers(-127, 128, shape, dtype=np.int8).view(np.uint8)
            case _:
                data[:] = np.frombuffer(self._generator.bytes(data.size), np.uint8).reshape(data.shape)
        _set_scale(data, spread / format_.spread, quantization)
        return data


def _set_scale(blocks: Bytes, scale: float, quantization: Quantization) -> None:
    start = _FORMATS[quantization].scale
    blocks[..., start : start + 2] = _float16(scale)
    if quantization is Quantization.Q4_K:
        blocks[..., 2:4] = _float16(_Q4_K_MIDDLE * scale)
        blocks[..., 4:16] = _Q4_K_SCALES
    elif quantization is Quantization.Q6_K:
        blocks[..., start - 16 : start] = 1


def _float16(value: float) -> Bytes:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def _set_zeros(blocks: Bytes, quantization: Quantization) -> None:
    """All weights become zero, by a scale that is none."""
    match quantization:
        case Quantization.Q4_0:
            blocks[..., 2:] = 0x88
        case Quantization.Q8_0:
            blocks[..., 2:] = 0
        case Quantization.Q6_K:
            blocks[..., :128] = 0
            blocks[..., 128:192] = _Q6_K_ZEROS


def _set_first_weight(blocks: Bytes, quantization: Quantization, *, sign: int) -> None:
    """The first weight of each block becomes the largest (1), zero (0) or the smallest (-1)."""
    match quantization:
        case Quantization.Q4_0:
            blocks[:, 2] = (blocks[:, 2] & 0xF0) | (8 + 7 * sign)
        case Quantization.Q8_0:
            blocks[:, 2] = (127 * sign) % 256
        case Quantization.Q6_K:
            quantum = 32 + 31 * sign
            blocks[:, 0] = (blocks[:, 0] & 0xF0) | (quantum & 0x0F)
            blocks[:, 128] = (blocks[:, 128] & 0xFC) | (quantum >> 4)


def _set_quantized_edge(data: Bytes, edge: Edge, rows: int, quantization: Quantization) -> None:
    match edge:
        case Edge.ZERO_ROW:
            _set_scale(data[::rows], 0.0, quantization)
        case Edge.CONSTANT:
            _set_first_weight(data[:, 0], quantization, sign=1)
        case Edge.PUSH_DOWN:
            _set_first_weight(data[:, 0], quantization, sign=0)
            for others in _rows_of_others(data):
                _set_scale(others, 0.0, quantization)
                _set_scale(others[:, 0], _PUSH_DOWN / _FORMATS[quantization].smallest, quantization)
                _set_zeros(others[:, 0], quantization)
                _set_first_weight(others[:, 0], quantization, sign=-1)


def _set_float_edge(data: NDArray[np.float32], edge: Edge, rows: int) -> None:
    match edge:
        case Edge.ZERO_ROW:
            data[::rows] = 0
        case Edge.CONSTANT:
            data[:, 0] = _CONSTANT
        case Edge.PUSH_DOWN:
            data[:, 0] = 0
            for others in _rows_of_others(data):
                others[:] = 0
                others[:, 0] = _PUSH_DOWN


def _rows_of_others(data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows of all tokens that are no words."""
    words = vocabulary.word_ids()
    return data[: words.start], data[words.stop :]
