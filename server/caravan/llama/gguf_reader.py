"""Walks over the header of one GGUF file, whatever is in it: in bounded memory and time.

The format is `docs/gguf.md` of ggml: a magic, counts, pairs of key and value, tensor descriptions, tensors.
"""

import math
import struct
from itertools import pairwise
from typing import BinaryIO, NamedTuple

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | None

_MAGIC = b"GGUF"
# Version 1 had other widths; no file of it is left in use, and llama.cpp refuses it too.
_VERSIONS = (2, 3)
# Types of values by number.
FLOAT, STRING, _ARRAY = 6, 8, 9
# What `struct` calls them.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_BOOL = 7
# Bounds of what any model has. What is damaged has more, and must not take memory and time for it.
_MAX_PAIRS = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_STRINGS = 1 << 22
_MAX_KEY = 1 << 16
_MAX_NAME = 64  # GGML_MAX_NAME
_MAX_DIMENSIONS = 4
# Longer arrays are vocabularies, and longer texts tokenizers of others; neither is kept.
_MAX_ARRAY = 4096
_MAX_TEXT = 1 << 20
_MAX_KEPT = 1 << 24
_CHUNK = 1 << 20
_LENGTH = struct.Struct("<Q")
# Tensors begin at multiples of this, unless `general.alignment` says otherwise.
_ALIGNMENT = 32
_MAX_ALIGNMENT = 1 << 20
_SHOWN = 80
# How many weights ggml stores together, and in how many bytes, by its number of their type.
BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
}


class HeaderError(ValueError):
    """The file is no GGUF, is cut off, or a part of a model of which others are missing; one line."""


class _Tensor(NamedTuple):
    """Where a tensor begins and, if its type is known, ends, both from where the first one begins."""

    start: int
    name: str
    end: int
    kind: int = 0
    shape: tuple[int, ...] = ()


class TensorPlace(NamedTuple):
    """Where in the file a tensor begins, ggml's number of its type, and how many numbers it has each way."""

    start: int
    kind: int
    shape: tuple[int, ...]

    @property
    def num_items(self) -> int:
        """How many numbers it has in all."""
        return math.prod(self.shape)


class GgufReader:
    """What one file says. All methods raise HeaderError and OSError."""

    def __init__(self, file: BinaryIO, file_size: int) -> None:
        self._file = file
        self._file_size = file_size
        self._at = 0
        self._window = b""
        self._base = 0
        self._num_kept = 0
        self.metadata: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.num_tensors = 0
        self.tensors: dict[str, int] = {}
        self.places: dict[str, TensorPlace] = {}

    def preamble(self, until: str | None = None) -> None:
        """Read everything up to the tensors, or up to and with a key."""
        if self._take(4) != _MAGIC:
            raise HeaderError("this is not a GGUF file")
        version = self._number("I")
        if version not in _VERSIONS:
            raise HeaderError(f"version {version} of GGUF is not supported")
        self.num_tensors, num_pairs = self._length(), self._length()
        _check("tensors", self.num_tensors, _MAX_TENSORS)
        _check("pairs of metadata", num_pairs, _MAX_PAIRS)
        for _ in range(num_pairs):
            key = self._string("a key", _MAX_KEY)
            if key in self.lengths or key in self.metadata:
                raise HeaderError(f"it is damaged: '{shown(key)}' stands there twice")
            self._value(key)
            if key == until:
                break

    def describe_tensors(self) -> None:
        """Read how large each tensor is: as much as there is until the next one, or the file's end."""
        found = [self._tensor() for _ in range(self.num_tensors)]
        alignment = self._alignment()
        begin = -(-self._at // alignment) * alignment
        for tensor in found:
            if begin + tensor.end > self._file_size:
                raise HeaderError(
                    f"the file is cut off or damaged: it has {self._file_size} bytes, and its tensor "
                    f"'{shown(tensor.name)}' ends at {begin + tensor.end}"
                )
        self.places = {
            tensor.name: TensorPlace(begin + tensor.start, tensor.kind, tensor.shape) for tensor in found
        }
        ends = _Tensor(self._file_size - begin, "", 0)
        self.tensors = {
            tensor.name: following.start - tensor.start
            for tensor, following in pairwise((*sorted(found), ends))
        }

    def _tensor(self) -> _Tensor:
        name = self._string("a tensor's name", _MAX_NAME)
        num_dimensions = int(self._number("I"))
        if num_dimensions > _MAX_DIMENSIONS:
            raise HeaderError(f"it is damaged: '{shown(name)}' has {num_dimensions} dimensions")
        shape = tuple(self._length() for _ in range(num_dimensions))
        count = math.prod(shape)
        kind = int(self._number("I"))
        block, size = BLOCKS.get(kind, (1, 0))
        start = self._length()
        return _Tensor(start, name, start + -(-count // block) * size, kind, shape)

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", _ALIGNMENT)
        is_sound = type(alignment) is int and 0 < alignment <= _MAX_ALIGNMENT
        if not is_sound or not isinstance(alignment, int) or alignment & (alignment - 1):
            raise HeaderError(
                f"it is damaged: 'general.alignment' is {alignment!r:.40}, which is no power of 2"
            )
        return alignment

    def _value(self, key: str) -> None:
        kind = self.kinds[key] = int(self._number("I"))
        if kind == _ARRAY:
            self._array(key)
        elif kind == STRING:
            self._text(key)
        else:
            self.metadata[key] = self._scalar(kind, key)

    def _array(self, key: str) -> None:
        kind, length = int(self._number("I")), self._length()
        self.lengths[key] = length
        if kind == STRING:
            _check(f"items in '{shown(key)}'", length, _MAX_STRINGS)
            self._skip_strings(length)
        elif kind not in _FORMATS:
            raise HeaderError(f"it is damaged: '{shown(key)}' has values of the unknown type {kind}")
        elif length <= _MAX_ARRAY:
            self._keep(length * struct.calcsize("<" + _FORMATS[kind]))
            self.metadata[key] = tuple(self._scalar(kind, key) for _ in range(length))
        else:
            self._skip(length * struct.calcsize("<" + _FORMATS[kind]))

    def _skip_strings(self, count: int) -> None:
        """Step over a vocabulary in hundredths of a second: one call each would take ten times as long."""
        unpack, width = _LENGTH.unpack_from, _LENGTH.size
        while count:
            self._ahead(width)
            content, at = self._window, self._at - self._base
            last = len(content) - width
            while count and at <= last:
                at += width + unpack(content, at)[0]
                count -= 1
            self._skip(self._base + at - self._at)

    def _text(self, key: str) -> None:
        length = self._length()
        if length > _MAX_TEXT:
            self._skip(length)
        else:
            self._keep(length)
            self.metadata[key] = self._decoded(length)

    def _scalar(self, kind: int, key: str) -> int | float | bool:
        if kind not in _FORMATS:
            raise HeaderError(f"it is damaged: '{shown(key)}' has the unknown type {kind}")
        value = self._number(_FORMATS[kind])
        return bool(value) if kind == _BOOL else value

    def _string(self, what: str, most: int) -> str:
        length = self._length()
        _check(f"bytes in {what}", length, most)
        return self._decoded(length)

    def _decoded(self, length: int) -> str:
        return self._take(length).decode("utf-8", errors="replace")

    def _length(self) -> int:
        return int(_LENGTH.unpack(self._take(_LENGTH.size))[0])

    def _number(self, code: str) -> int | float:
        (value,) = struct.unpack("<" + code, self._take(struct.calcsize("<" + code)))
        assert isinstance(value, int | float)
        return value

    def _take(self, count: int) -> bytes:
        self._ahead(count)
        start = self._at - self._base
        self._at += count
        return self._window[start : start + count]

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > self._file_size:
            raise HeaderError("the file is cut off or damaged")

    def _keep(self, count: int) -> None:
        self._num_kept += count
        if self._num_kept > _MAX_KEPT:
            raise HeaderError(f"it is damaged: it has more than {_MAX_KEPT} bytes of metadata")

    def _ahead(self, count: int) -> None:
        """Have so many bytes from here on in the window."""
        if self._at + count <= self._base + len(self._window):
            return
        # Never mapped: a file that somebody cuts off meanwhile would end the process.
        self._file.seek(self._at)
        self._base, self._window = self._at, self._file.read(max(count, _CHUNK))
        if len(self._window) < count:
            raise HeaderError("the file is cut off or damaged")


def shown(text: str) -> str:
    """Write a text of a file as it can stand in one line."""
    escaped = text[:_SHOWN].encode("unicode_escape").decode()[:_SHOWN]
    return escaped if len(text) <= len(escaped) else f"{escaped}..."


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise HeaderError(f"it is damaged: it has {count} {what}")
