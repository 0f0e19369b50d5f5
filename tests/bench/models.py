"""GGUF files of real shapes with random weights: they cost what trained ones cost, and take seconds to write.

The first number of every hidden state is a constant, through which the output pushes down all tokens but the
vocabulary's words: no text ends before its limit. Real models are those of `tests.real.materials`.
"""

import contextlib
import enum
import shutil
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization

from tests.bench import vocabulary
from tests.bench.weights import Edge, Weights
from tests.real import materials

TRAINING_CONTEXT = 8192
# Changes whenever the same name would stand for other weights.
_RECIPE = 3
_CONSTANT_GAIN = 10.0
# Of LFM2's short convolutions.
_TAPS = 3


class Family(enum.Enum):
    """The architectures of shapes, by llama.cpp's names."""

    PLAIN = "qwen2"
    MIXTURE = "qwen3moe"
    HYBRID = "lfm2"


@dataclass(frozen=True)
class Shape:
    """A model's size, in the words of its GGUF fields. `quantization` is that of matrices; of Q4_K, mixed as
    in files called Q4_K_M. A mixture has `experts` of `feed_forward` each, of which a token takes `used`; a
    hybrid has attention in the layers `attending` alone.
    """

    name: str
    num_layers: int
    embed: int
    heads: int
    kv_heads: int
    feed_forward: int
    quantization: Quantization
    family: Family = Family.PLAIN
    experts: int = 0
    used: int = 0
    attending: tuple[int, ...] = ()

    @property
    def head_size(self) -> int:
        return self.embed // self.heads

    @property
    def num_bytes(self) -> int:
        """About how large its file is."""
        layer = 3 * self.embed * self.feed_forward * max(1, self.experts) + 4 * self.embed**2
        bits = {Quantization.F32: 32.0, Quantization.Q8_0: 8.5}.get(self.quantization, 5.0)
        return int((self.num_layers * layer + 2 * vocabulary.SIZE * self.embed) * bits / 8)

    def attends(self, layer: int) -> bool:
        return self.family is not Family.HYBRID or layer in self.attending

    def is_finer(self, layer: int) -> bool:
        """Whether mixed files have more bits for some matrices of this layer."""
        eighth = self.num_layers // 8
        return layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2


_Q4_K = Quantization.Q4_K
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("nano", 2, 64, 4, 2, 256, Quantization.F32),
        Shape("nano-q8", 2, 64, 4, 2, 256, Quantization.Q8_0),
        # Small enough to guess for the next one.
        Shape("15m", 6, 288, 6, 6, 768, Quantization.Q8_0),
        Shape("135m", 30, 576, 9, 3, 1536, Quantization.Q8_0),
        Shape("0.5b", 24, 896, 14, 2, 4864, Quantization.Q4_0),
        Shape("1.5b", 28, 1536, 12, 2, 8960, Quantization.Q4_0),
        Shape("3b", 36, 2048, 16, 2, 11008, Quantization.Q4_0),
        Shape("1.5b-q4_k_m", 28, 1536, 12, 2, 8960, _Q4_K),
        Shape("7b-q4_k_m", 28, 3584, 28, 4, 18944, _Q4_K),
        Shape("mixture", 24, 1024, 16, 8, 512, _Q4_K, Family.MIXTURE, experts=32, used=8),
        Shape("hybrid", 16, 1024, 16, 8, 4608, _Q4_K, Family.HYBRID, attending=(2, 5, 8, 10, 12, 14)),
    )
}

# A cross-encoder of the size of the smallest that people use.
RANKER = "ranker"
_RANKER = Shape(RANKER, 6, 384, 12, 12, 1536, Quantization.Q8_0)

# By the name in workloads; `python -m tests.real.materials` fetches them.
REAL = {"smollm2": materials.SMOLLM2, "gemma": materials.GEMMA}


class NoModelError(Exception):
    """A model is not here; the message says why, and what to do about it."""


def ensure_model(name: str, folder: Path) -> Path:
    """The file of a model, that of a shape written unless it is there and has room. Raises NoModelError."""
    if name in REAL:
        if not REAL[name].exists():
            raise NoModelError(f"{REAL[name].name} is not here: python -m tests.real.materials")
        return REAL[name]
    path = folder / f"{name}-{_RECIPE}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shape = _RANKER if name == RANKER else SHAPES[name]
        if shape.num_bytes > (free := shutil.disk_usage(folder).free):
            sizes = f"{shape.num_bytes / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free"
            raise NoModelError(f"it takes {sizes} in {folder}")
        draft = path.with_suffix(".part")
        try:
            (write_ranker if name == RANKER else write_model)(draft, shape)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise NoModelError(f"it could not be written: {error}") from error
    return path


def write_model(path: Path, shape: Shape, seed: int = 0) -> None:
    """Write a model that generates; equal seeds give equal files."""
    # In memory until it is written: a file between would take as much of the disk again.
    writer = gguf.GGUFWriter(path, shape.family.value, use_temp_file=False)
    _add_fields(writer, shape)
    vocabulary.add_to(writer)
    weights = Weights(writer, shape.quantization, np.random.default_rng(seed))
    weights.matrix("token_embd", vocabulary.SIZE, shape.embed, spread=shape.embed**0.5, edge=Edge.CONSTANT)
    for layer in range(shape.num_layers):
        _add_layer(weights, shape, layer)
    last = "token_embd_norm" if shape.family is Family.HYBRID else "output_norm"
    weights.norm(last, shape.embed, first=_CONSTANT_GAIN)
    weights.matrix("output", vocabulary.SIZE, shape.embed, spread=5.0, edge=Edge.PUSH_DOWN)
    _write(writer)


def write_ranker(path: Path, shape: Shape = _RANKER, seed: int = 0) -> None:
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
    weights = Weights(writer, shape.quantization, np.random.default_rng(seed))
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


def _add_fields(writer: gguf.GGUFWriter, shape: Shape) -> None:
    kv_heads = [shape.kv_heads if shape.attends(layer) else 0 for layer in range(shape.num_layers)]
    writer.add_name(f"bench-{shape.name}")
    writer.add_block_count(shape.num_layers)
    writer.add_context_length(TRAINING_CONTEXT)
    writer.add_embedding_length(shape.embed)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(kv_heads if shape.attending else shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    if shape.family is Family.MIXTURE:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.used)
        writer.add_expert_feed_forward_length(shape.feed_forward)
    if shape.family is Family.HYBRID:
        writer.add_shortconv_l_cache(_TAPS)


def _add_layer(weights: Weights, shape: Shape, layer: int) -> None:
    block = f"blk.{layer}"
    weights.norm(f"{block}.attn_norm", shape.embed)
    if shape.attends(layer):
        _add_attention(weights, shape, layer)
    else:
        weights.floats(f"{block}.shortconv.conv", shape.embed, _TAPS)
        weights.matrix(f"{block}.shortconv.in_proj", 3 * shape.embed, shape.embed)
        weights.matrix(f"{block}.shortconv.out_proj", shape.embed, shape.embed, edge=Edge.ZERO_ROW)
    weights.norm(f"{block}.ffn_norm", shape.embed)
    experts, kind = 1, ""
    if shape.family is Family.MIXTURE:
        experts, kind = shape.experts, "_exps"
        weights.floats(f"{block}.ffn_gate_inp", experts, shape.embed)
    for name in ("ffn_gate", "ffn_up"):
        weights.matrix(f"{block}.{name}{kind}", shape.feed_forward, shape.embed, experts=experts)
    weights.matrix(
        f"{block}.ffn_down{kind}",
        shape.embed,
        shape.feed_forward,
        edge=Edge.ZERO_ROW,
        is_finer=shape.is_finer(layer),
        experts=experts,
    )


def _add_attention(weights: Weights, shape: Shape, layer: int) -> None:
    block, key_value = f"blk.{layer}", shape.kv_heads * shape.head_size
    for name, rows in (("attn_q", shape.embed), ("attn_k", key_value), ("attn_v", key_value)):
        is_finer = name == "attn_v" and shape.is_finer(layer)
        weights.matrix(f"{block}.{name}", rows, shape.embed, is_finer=is_finer)
        if shape.family is Family.PLAIN:
            weights.vector(f"{block}.{name}.bias", np.zeros(rows))
    if shape.family is not Family.PLAIN:
        weights.norm(f"{block}.attn_q_norm", shape.head_size)
        weights.norm(f"{block}.attn_k_norm", shape.head_size)
    weights.matrix(f"{block}.attn_output", shape.embed, shape.embed, edge=Edge.ZERO_ROW)
