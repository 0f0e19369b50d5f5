"""What a GGUF file says of itself, read without llama.cpp and without its weights.

The format is `docs/gguf.md` of ggml: a magic, counts, pairs of key and value, tensor descriptions, tensors.
"""

import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | None

_MAGIC = b"GGUF"
_ARCHITECTURE = "general.architecture"
# Version 1 had other widths; no file of it is left in use, and llama.cpp refuses it too.
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
# Value types by number: what `struct` calls them.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Longer arrays are vocabularies; no size of a model is written as one.
_MAX_ARRAY = 4096
_CHUNK = 1 << 20
# The largest vocabularies take some 20 MB. A damaged length must not read weights into memory.
_MAX_HEADER = 256 << 20
_LENGTH = struct.Struct("<Q")
_MAX_DIMENSIONS = 4
# Tensors begin at multiples of this, unless `general.alignment` says otherwise.
_ALIGNMENT = 32
_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})$")


class HeaderError(ValueError):
    """The file is no GGUF, is cut off, or a part of a model of which others are missing; one line."""


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
        """A number of the architecture, such as `block_count`; 0 where there is none, or one per layer."""
        value = self.metadata.get(f"{self.architecture}.{name}")
        return int(value) if isinstance(value, int | float) else 0

    def per_layer(self, name: str, num_layers: int) -> tuple[int, ...]:
        """A number of the architecture that may be given once for all layers or once for each."""
        value = self.metadata.get(f"{self.architecture}.{name}")
        if isinstance(value, tuple):
            numbers = tuple(int(item) for item in value if not isinstance(item, str))
            return (numbers + (0,) * num_layers)[:num_layers]
        return (self.count(name),) * num_layers


def read_header(path: str | os.PathLike[str]) -> GgufHeader:
    """Read a file's metadata; of a split model any part may be named. Raises HeaderError or OSError."""
    parts = part_paths(Path(path))
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
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


def _read_part(path: Path) -> "_Reader":
    with path.open("rb") as file:
        reader = _Reader(file)
        try:
            reader.preamble()
            reader.describe_tensors(path.stat().st_size)
        except HeaderError as error:
            raise HeaderError(f"{path}: {error}") from error
    return reader


def read_architecture(path: str | os.PathLike[str]) -> str:
    """The family of a file's network, read alone, in no time; empty where the file does not say or is none.

    Raises OSError.
    """
    with open(path, "rb") as file:
        reader = _Reader(file)
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


class _Reader:
    """Walks over the pairs at the file's beginning, and keeps what it has read of the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._content = bytearray()
        self._at = 0
        self.metadata: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}
        self.num_tensors = 0
        self.tensors: dict[str, int] = {}

    def preamble(self, until: str | None = None) -> None:
        """Read everything up to the tensors, or up to and with a key."""
        if self._take(4) != _MAGIC:
            raise HeaderError("this is not a GGUF file")
        version = self._number("I")
        if version not in _VERSIONS:
            raise HeaderError(f"version {version} of GGUF is not supported")
        self.num_tensors, num_pairs = self._length(), self._length()
        for _ in range(num_pairs):
            key = self._string()
            kind = int(self._number("I"))
            if kind == _ARRAY:
                self._array(key)
            else:
                self.metadata[key] = self._scalar(kind)
            if key == until:
                break

    def describe_tensors(self, file_size: int) -> None:
        """Read how large each tensor is: as much as there is until the next one, or the file's end."""
        starts = []
        for _ in range(self.num_tensors):
            name = self._string()
            num_dimensions = int(self._number("I"))
            if num_dimensions > _MAX_DIMENSIONS:
                raise HeaderError(f"'{name}' has {num_dimensions} dimensions")
            self._skip(num_dimensions * _LENGTH.size + struct.calcsize("<I"))  # the shape and the type
            starts.append((self._length(), name))
        alignment = self.metadata.get("general.alignment")
        alignment = alignment if isinstance(alignment, int) and alignment > 0 else _ALIGNMENT
        begin = -(-self._at // alignment) * alignment
        ends = (max(0, file_size - begin), "")
        self.tensors = {
            name: max(0, end - start) for (start, name), (end, _) in pairwise((*sorted(starts), ends))
        }

    def _array(self, key: str) -> None:
        kind, length = int(self._number("I")), self._length()
        self.lengths[key] = length
        if kind == _STRING:
            self._skip_strings(length)
        elif kind not in _FORMATS:
            raise HeaderError(f"'{key}' has values of the unknown type {kind}")
        elif length <= _MAX_ARRAY:
            self.metadata[key] = tuple(self._scalar(kind) for _ in range(length))
        else:
            self._skip(length * struct.calcsize("<" + _FORMATS[kind]))

    def _skip_strings(self, count: int) -> None:
        """Step over a vocabulary in hundredths of a second: one call each would take ten times as long."""
        unpack, width = _LENGTH.unpack_from, _LENGTH.size
        while count:
            content, at = self._content, self._at
            last = len(content) - width
            while count and at <= last:
                at += width + unpack(content, at)[0]
                count -= 1
            self._skip(at - self._at)
            if count:
                self._skip(self._length())
                count -= 1

    def _scalar(self, kind: int) -> Scalar:
        if kind == _STRING:
            return self._string()
        if kind not in _FORMATS:
            raise HeaderError(f"a value has the unknown type {kind}")
        return self._number(_FORMATS[kind])

    def _string(self) -> str:
        return self._take(self._length()).decode("utf-8", errors="replace")

    def _length(self) -> int:
        start = self._at
        self._skip(_LENGTH.size)
        return int(_LENGTH.unpack_from(self._content, start)[0])

    def _number(self, code: str) -> int | float | bool:
        (value,) = struct.unpack("<" + code, self._take(struct.calcsize("<" + code)))
        assert isinstance(value, int | float)
        return value

    def _take(self, count: int) -> bytes:
        start = self._at
        self._skip(count)
        return bytes(self._content[start : self._at])

    def _skip(self, count: int) -> None:
        self._at += count
        # Never mapped: a file that somebody cuts off meanwhile would end the process.
        while self._at > len(self._content):
            more = self._file.read(_CHUNK) if self._at <= _MAX_HEADER else b""
            if not more:
                raise HeaderError("the file is cut off or damaged")
            self._content += more
