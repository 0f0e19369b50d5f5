"""GGUF files of real shapes with random weights: they cost what trained ones cost, and take seconds to write.

Weights are drawn in their quantized form. The first number of every hidden state is a constant, through which
the output pushes down all tokens but the vocabulary's words: no text ends before its limit.
"""

import contextlib
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

from tests.bench import vocabulary

TRAINING_CONTEXT = 8192
# Changes whenever the same name would stand for other weights.
_RECIPE = 3

_BLOCK = 32
_SPREAD_OF_QUANTA = {Quantization.Q4_0: 4.32, Quantization.Q8_0: 73.3}
_SMALLEST_QUANTUM = {Quantization.Q4_0: -7, Quantization.Q8_0: -127}
_CONSTANT = 1.7
_CONSTANT_GAIN = 10.0
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


@dataclass(frozen=True)
class AnswerFormat:
    """A model's size, in the words of its GGUF fields. `quantization` is that of every matrix."""

    name: str
    num_layers: int
    embed: int
    heads: int
    kv_heads: int
    feed_forward: int
    quantization: Quantization

    @property
    def head_size(self) -> int:
        return self.embed // self.heads


SHAPES = {
    shape.name: shape
    for shape in (
        AnswerFormat("nano", 2, 64, 4, 2, 256, Quantization.F32),
        AnswerFormat("nano-q8", 2, 64, 4, 2, 256, Quantization.Q8_0),
        AnswerFormat("135m", 30, 576, 9, 3, 1536, Quantization.Q8_0),
        AnswerFormat("0.5b", 24, 896, 14, 2, 4864, Quantization.Q4_0),
        AnswerFormat("1.5b", 28, 1536, 12, 2, 8960, Quantization.Q4_0),
        AnswerFormat("3b", 36, 2048, 16, 2, 11008, Quantization.Q4_0),
    )
}


# A cross-encoder of the size of the smallest that people use.
RANKER = "ranker"
_RANKER = AnswerFormat(RANKER, 6, 384, 12, 12, 1536, Quantization.Q8_0)


def ensure_model(name: str, folder: Path) -> Path:
    """The file of a shape, written unless it is there."""
    path = folder / f"{name}-{_RECIPE}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        if name == RANKER:
            write_ranker(draft)
        else:
            write_model(draft, SHAPES[name])
        draft.replace(path)
    return path


def write_model(path: Path, shape: AnswerFormat, seed: int = 0) -> None:
    """Write a model of the qwen2 architecture; equal seeds give equal files."""
    writer = gguf.GGUFWriter(path, "qwen2", use_temp_file=False)
    _add_fields(writer, shape)
    vocabulary.add_to(writer)
    weights = _Weights(writer, shape.quantization, np.random.default_rng(seed))
    weights.matrix("token_embd", vocabulary.SIZE, shape.embed, spread=shape.embed**0.5, edge=Edge.CONSTANT)
    for index in range(shape.num_layers):
        _add_layer(weights, shape, f"blk.{index}")
    weights.norm("output_norm", shape.embed, first=_CONSTANT_GAIN)
    weights.matrix("output", vocabulary.SIZE, shape.embed, spread=5.0, edge=Edge.PUSH_DOWN)
    _write(writer)


def write_ranker(path: Path, shape: AnswerFormat = _RANKER, seed: int = 0) -> None:
    """Write a BERT with a head that makes one number of a pair of texts."""
    writer = gguf.GGUFWriter(path, "bert", use_temp_file=False)
    for add, value in (
        (writer.add_name, f"bench-{shape.name}"),
        (writer.add_block_count, shape.num_layers),
        (writer.add_context_length, 512),
        (writer.add_embedding_length, shape.embed),
        (writer.add_feed_forward_length, shape.feed_forward),
        (writer.add_head_count, shape.heads),
        (writer.add_layer_norm_eps, 1e-12),
        (writer.add_causal_attention, False),
        (writer.add_pooling_type, gguf.PoolingType.RANK),
    ):
        add(value)
    vocabulary.add_to(writer)
    writer.add_token_type_count(1)
    weights = _Weights(writer, shape.quantization, np.random.default_rng(seed))
    weights.matrix("token_embd", vocabulary.SIZE, shape.embed, spread=shape.embed**0.5)
    weights.vector("token_types.weight", np.zeros((1, shape.embed)))
    weights.vector("position_embd.weight", np.zeros((512, shape.embed)))
    weights.biased_norm("token_embd_norm", shape.embed)
    for index in range(shape.num_layers):
        block = f"blk.{index}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights.biased(f"{block}.{name}", shape.embed, shape.embed)
        weights.biased_norm(f"{block}.attn_output_norm", shape.embed)
        weights.biased(f"{block}.ffn_up", shape.feed_forward, shape.embed)
        weights.biased(f"{block}.ffn_down", shape.embed, shape.feed_forward)
        weights.biased_norm(f"{block}.layer_output_norm", shape.embed)
    weights.biased("cls", shape.embed, shape.embed)
    weights.biased("cls.output", 1, shape.embed)
    _write(writer)


def _write(writer: gguf.GGUFWriter) -> None:
    with contextlib.closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def _add_fields(writer: gguf.GGUFWriter, shape: AnswerFormat) -> None:
    writer.add_name(f"bench-{shape.name}")
    writer.add_block_count(shape.num_layers)
    writer.add_context_length(TRAINING_CONTEXT)
    writer.add_embedding_length(shape.embed)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)


def _add_layer(weights: "_Weights", shape: AnswerFormat, block: str) -> None:
    key_value = shape.kv_heads * shape.head_size
    weights.norm(f"{block}.attn_norm", shape.embed)
    for name, rows in (("attn_q", shape.embed), ("attn_k", key_value), ("attn_v", key_value)):
        weights.matrix(f"{block}.{name}", rows, shape.embed)
        weights.vector(f"{block}.{name}.bias", np.zeros(rows))
    weights.matrix(f"{block}.attn_output", shape.embed, shape.embed, edge=Edge.ZERO_ROW)
    weights.norm(f"{block}.ffn_norm", shape.embed)
    weights.matrix(f"{block}.ffn_gate", shape.feed_forward, shape.embed)
    weights.matrix(f"{block}.ffn_up", shape.feed_forward, shape.embed)
    weights.matrix(f"{block}.ffn_down", shape.embed, shape.feed_forward, edge=Edge.ZERO_ROW)


class _Weights:
    """Draws tensors and hands them to the writer."""

    def __init__(
        self, writer: gguf.GGUFWriter, quantization: Quantization, generator: np.random.Generator
    ) -> None:
        self._writer = writer
        self._quantization = quantization
        self._generator = generator

    def vector(self, name: str, values: NDArray[np.float64]) -> None:
        self._writer.add_tensor(name, values.astype(np.float32))

    def norm(self, name: str, size: int, first: float = 1.0) -> None:
        values = np.ones(size)
        values[0] = first
        self.vector(f"{name}.weight", values)

    def biased(self, name: str, rows: int, columns: int) -> None:
        self.matrix(name, rows, columns)
        self.vector(f"{name}.bias", np.zeros(rows))

    def biased_norm(self, name: str, size: int) -> None:
        self.norm(name, size)
        self.vector(f"{name}.bias", np.zeros(size))

    def matrix(self, name: str, rows: int, columns: int, spread: float = 1.0, edge: Edge = Edge.NONE) -> None:
        """A product with a vector of unit variance has standard deviation `spread`."""
        draw = self._floats if self._quantization is Quantization.F32 else self._blocks
        pieces = [
            draw(min(_ROWS_AT_ONCE, rows - start), columns, spread / columns**0.5)
            for start in range(0, rows, _ROWS_AT_ONCE)
        ]
        data = np.concatenate(pieces)
        if data.dtype == np.float32:
            _set_float_edge(data, edge)
            self._writer.add_tensor(f"{name}.weight", data)
        else:
            _set_quantized_edge(data, edge, self._quantization)
            self._writer.add_tensor(f"{name}.weight", data.reshape(rows, -1), raw_dtype=self._quantization)

    def _floats(self, rows: int, columns: int, spread: float) -> NDArray[np.generic]:
        return self._generator.standard_normal((rows, columns), np.float32) * np.float32(spread)

    def _blocks(self, rows: int, columns: int, spread: float) -> NDArray[np.generic]:
        """Quantized rows [rows, blocks, bytes of a block]: a float16 scale, then the weights."""
        num_blocks = columns // _BLOCK
        if self._quantization is Quantization.Q4_0:
            shape = (rows, num_blocks, _BLOCK // 2)
            low = self._generator.integers(1, 16, shape, dtype=np.uint8)
            quanta = low | (self._generator.integers(1, 16, shape, dtype=np.uint8) << 4)
        else:
            signed = self._generator.integers(-127, 128, (rows, num_blocks, _BLOCK), dtype=np.int8)
            quanta = signed.view(np.uint8)
        data = np.empty((rows, num_blocks, 2 + quanta.shape[-1]), np.uint8)
        _set_scale(data, spread / _SPREAD_OF_QUANTA[self._quantization])
        data[:, :, 2:] = quanta
        return data


def _set_scale(blocks: Bytes, scale: float) -> None:
    blocks[..., :2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)


def _set_first_weight(blocks: Bytes, quantization: Quantization, *, sign: int) -> None:
    """The first weight of each block becomes the largest (1), zero (0) or the smallest (-1)."""
    if quantization is Quantization.Q4_0:
        blocks[:, 2] = (blocks[:, 2] & 0xF0) | (8 + 7 * sign)
    else:
        blocks[:, 2] = (127 * sign) % 256


def _set_quantized_edge(data: Bytes, edge: Edge, quantization: Quantization) -> None:
    match edge:
        case Edge.ZERO_ROW:
            _set_scale(data[0], 0.0)
        case Edge.CONSTANT:
            _set_first_weight(data[:, 0], quantization, sign=1)
        case Edge.PUSH_DOWN:
            _set_first_weight(data[:, 0], quantization, sign=0)
            for rows in _rows_of_others(data):
                _set_scale(rows, 0.0)
                _set_scale(rows[:, 0], _PUSH_DOWN / _SMALLEST_QUANTUM[quantization])
                rows[:, 0, 2:] = 0x88 if quantization is Quantization.Q4_0 else 0
                _set_first_weight(rows[:, 0], quantization, sign=-1)


def _set_float_edge(data: NDArray[np.float32], edge: Edge) -> None:
    match edge:
        case Edge.ZERO_ROW:
            data[0] = 0
        case Edge.CONSTANT:
            data[:, 0] = _CONSTANT
        case Edge.PUSH_DOWN:
            data[:, 0] = 0
            for rows in _rows_of_others(data):
                rows[:] = 0
                rows[:, 0] = _PUSH_DOWN


def _rows_of_others(data: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows of all tokens that are no words."""
    words = vocabulary.word_ids()
    return data[: words.start], data[words.stop :]
