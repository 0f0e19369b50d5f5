"""What a GGUF file says of itself, read without llama.cpp and without its weights."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caravan.config.paths import special_kind
from caravan.llama import gguf_limits
from caravan.llama.gguf_reader import GgufReader, HeaderError, Value

__all__ = ["GgufHeader", "HeaderError", "model_stem", "part_paths", "read_architecture", "read_header"]

_ARCHITECTURE = "general.architecture"
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")


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
        """A string of the metadata; empty where there is none."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """A number of the architecture, such as `block_count`; 0 where there is none, or one per layer.

        Those that anybody asks for have been checked (`gguf_limits`).
        """
        value = self.metadata.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) else 0

    def per_layer(self, name: str, num_layers: int) -> tuple[int, ...]:
        """A number of the architecture that may be given once for all layers or once for each."""
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
            gguf_limits.check(architecture, reader.metadata, reader.lengths)
        except HeaderError as error:
            raise HeaderError(f"{path}: {error}") from error
    return reader


def read_architecture(path: str | os.PathLike[str]) -> str:
    """The family of a file's network, read alone, in no time; empty where the file does not say or is none.

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
    """All files of the model that `path` is a part of, first part first; itself where it is not split."""
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
    """The file's name without its ending, and without the number of its part."""
    return _SPLIT.sub("", path.stem)
