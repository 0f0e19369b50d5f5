"""What a GGUF file says of itself, read without llama.cpp and without its weights."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caravan.config.paths import special_kind
from caravan.llama.gguf_reader import GgufReader, HeaderError, Scalar, Value, shown

__all__ = ["GgufHeader", "HeaderError", "model_stem", "part_paths", "read_architecture", "read_header"]

_ARCHITECTURE = "general.architecture"
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")
_TENSOR_SIZE = 1 << 24
_POSITIONS = (1 << 32) - 1
# Counts under an architecture's name, with the most that any model has of each, and some room. More than
# 512 layers are too many for llama.cpp itself (LLAMA_MAX_LAYERS).
_MOST = {
    "block_count": 512,
    "context_length": _POSITIONS,
    "embedding_length": 1 << 20,
    "feed_forward_length": _TENSOR_SIZE,
    "vocab_size": 1 << 22,
    "attention.head_count": 1 << 16,
    "attention.head_count_kv": 1 << 16,
    "attention.key_length": 1 << 16,
    "attention.value_length": 1 << 16,
    "attention.kv_lora_rank": 1 << 16,
    "attention.sliding_window": _POSITIONS,
    "rope.dimension_count": 1 << 16,
    "expert_count": 1 << 16,
    "expert_used_count": 1 << 16,
    "expert_feed_forward_length": _TENSOR_SIZE,
    "full_attention_interval": 512,
    "ssm.conv_kernel": 1 << 16,
    "ssm.group_count": 1 << 16,
    "ssm.inner_size": _TENSOR_SIZE,
    "ssm.state_size": 1 << 16,
    "ssm.time_step_rank": 1 << 16,
    "wkv.head_size": 1 << 16,
    "token_shift_count": 1 << 16,
    "shortconv.l_cache": 1 << 16,
    "kda.head_dim": 1 << 16,
}
_FLAGS = ("attention.causal",)
_TOKENS = "tokenizer.ggml.tokens"
# llama.cpp reads as many of these as there are tokens, without looking how many there are.
_BESIDE_TOKENS = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")


@dataclass(frozen=True, kw_only=True)
class GgufHeader:
    """Metadata of one model, all its parts taken together.

    `metadata` holds scalars and short arrays of numbers. Of other arrays `lengths` has the number of items.
    `file_size` and the values of `tensors` are in bytes; what lies between tensors counts as the former's.
    """

    path: Path
    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    num_tensors: int
    file_size: int
    tensors: Mapping[str, int] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """The family of the network, such as `qwen2`; empty where the file does not say."""
        return self.text(_ARCHITECTURE)

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return self.lengths.get("tokenizer.ggml.tokens", 0) or self.count("vocab_size")

    @property
    def training_context(self) -> int:
        """Longest text the model was trained on, in tokens; 0 where the file does not say."""
        return self.count("context_length")

    def text(self, key: str) -> str:
        """Return a string of the metadata; empty where there is none."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """Return a number of the architecture, such as `block_count`; 0 if there is none, or one per layer.

        Those that anybody asks for have been checked.
        """
        value = self.metadata.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) else 0

    def per_layer(self, name: str, num_layers: int) -> tuple[int, ...]:
        """Return a number of the architecture that may be given once for all layers or once for each."""
        value = self.metadata.get(f"{self.architecture}.{name}")
        if isinstance(value, tuple):
            numbers = tuple(item for item in value if isinstance(item, int))
            return (numbers + (0,) * num_layers)[:num_layers]
        return (self.count(name),) * num_layers


def read_header(path: str | os.PathLike[str]) -> GgufHeader:
    """Read a file's metadata; of a split model any part may be named. Raises HeaderError or OSError."""
    parts = part_paths(Path(path))
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        for part in parts:
            if (kind := special_kind(part)) is not None:
                raise HeaderError(f"{part}: this is no regular file, but {kind}")
        raise HeaderError(_missing(path, len(parts), missing))
    first, *others = (_read_part(part) for part in parts)
    for other in others:
        first.tensors.update(other.tensors)
    return GgufHeader(
        path=parts[0],
        metadata=first.metadata,
        lengths=first.lengths,
        num_tensors=first.num_tensors,
        file_size=sum(part.stat().st_size for part in parts),
        tensors=first.tensors,
    )


def _read_part(path: Path) -> GgufReader:
    with path.open("rb") as file:
        reader = GgufReader(file, os.fstat(file.fileno()).st_size)
        try:
            reader.preamble()
            reader.describe_tensors()
            architecture = reader.metadata.get(_ARCHITECTURE, "")
            if not isinstance(architecture, str):
                raise HeaderError(f"it is damaged: '{_ARCHITECTURE}' is {architecture!r:.40}")
            _check(architecture, reader.metadata, reader.lengths)
        except HeaderError as error:
            raise HeaderError(f"{path}: {error}") from error
    return reader


def _check(architecture: str, metadata: Mapping[str, Value], lengths: Mapping[str, int]) -> None:
    """Raise HeaderError over the first number that no model has: whoever computes with them need not ask."""
    for name, most in _MOST.items():
        key = f"{architecture}.{name}"
        for value in _items(metadata.get(key)):
            # A truth value is an integer to Python.
            if type(value) is not int or not 0 <= value <= most:
                raise HeaderError(f"it is damaged: '{shown(key)}' is {value!r:.40}")
    for name in _FLAGS:
        key = f"{architecture}.{name}"
        if not isinstance(metadata.get(key), bool | None):
            raise HeaderError(f"it is damaged: '{shown(key)}' is {metadata[key]!r:.40}")
    for key in _BESIDE_TOKENS:
        if lengths.get(key, lengths.get(_TOKENS)) != lengths.get(_TOKENS):
            raise HeaderError(
                f"it is damaged: '{key}' has {lengths[key]} items, and there are as many tokens as "
                f"{lengths.get(_TOKENS, 0)}"
            )


def _items(value: Value) -> Iterator[Scalar]:
    """A number, or those of all layers."""
    if isinstance(value, tuple):
        yield from value
    elif value is not None:
        yield value


def read_architecture(path: str | os.PathLike[str]) -> str:
    """Read the family of a file's network alone, in no time; empty where the file does not say or is none.

    Raises OSError.
    """
    with open(path, "rb") as file:
        reader = GgufReader(file, os.fstat(file.fileno()).st_size)
        try:
            reader.preamble(until=_ARCHITECTURE)
        except HeaderError:
            return ""
    value = reader.metadata.get(_ARCHITECTURE)
    return value if isinstance(value, str) else ""


def _missing(path: str | os.PathLike[str], num_parts: int, names: list[str]) -> str:
    if num_parts == 1:
        return f"no such file: {os.fspath(path)}"
    return f"{os.fspath(path)}: {len(names)} of {num_parts} parts are missing, {names[0]} first"


def part_paths(path: Path) -> list[Path]:
    """List all files of the model that `path` is a part of, first part first; itself if it is not split."""
    found = _SPLIT.search(path.stem)
    if found is None:
        return [path]
    count = int(found[2])
    if not 1 <= int(found[1]) <= count:
        return [path]
    stem = path.stem[: found.start()]
    return [
        path.with_name(f"{stem}-{number:05}-of-{count:05}{path.suffix}") for number in range(1, count + 1)
    ]


def model_stem(path: Path) -> str:
    """Return the file's name without its ending, and without the number of its part."""
    return _SPLIT.sub("", path.stem)
