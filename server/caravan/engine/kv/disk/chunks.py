"""A text cut into chunks, each named by all of its keys up to there."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Tokens of a chunk. What is copied at once takes a millisecond or some, and a file has megabytes.
CHUNK_SIZE = 256
# That of texts which are kept whole or not at all: longer than any.
WHOLE = 1 << 30
NAME_BYTES = 16

# Keys are tokens of 32 bits; in a chunk at most one has more, which says who may share what follows.
_TOKEN_BITS = 32
_TOKEN_MASK = (1 << _TOKEN_BITS) - 1
TOKEN_BYTES = 4
MARK_BYTES = 16
_PUBLIC, _MARKED = b"public", b"marked"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of keys that begins at position `start`, after the chunk named `parent`.

    `tokens` are those of its keys, four bytes each, little-endian. The key at `mark_at` has `mark` above its
    token; without one, that is `count`, and the mark is empty. `name` covers all of it, and what is before.
    `num_bytes` are those of its body, where that is on the disk.
    """

    name: bytes
    parent: bytes
    start: int
    tokens: bytes
    mark_at: int
    mark: bytes = b""
    num_bytes: int = field(default=0, compare=False)

    @property
    def count(self) -> int:
        """How many keys there are."""
        return len(self.tokens) // TOKEN_BYTES

    @property
    def end(self) -> int:
        """The position after the last."""
        return self.start + self.count

    @property
    def is_marked(self) -> bool:
        """Whether what not everybody may share begins here."""
        return bool(self.mark)

    def num_common(self, other: "Chunk") -> int:
        """Count the keys with which both begin."""
        count = _num_equal(self.tokens, other.tokens) // TOKEN_BYTES
        if (self.mark_at, self.mark) == (other.mark_at, other.mark):
            return count
        return min(count, self.mark_at, other.mark_at)


def chunk_after(parent: bytes, start: int, keys: Sequence[int]) -> Chunk:
    """Make the chunk of these keys that follows on another. Of keys above the tokens there may be one."""
    tokens = struct.pack(f"<{len(keys)}I", *[key & _TOKEN_MASK for key in keys])
    mark_at = next((at for at, key in enumerate(keys) if key > _TOKEN_MASK), len(keys))
    mark = b""
    if mark_at < len(keys):
        mark = (keys[mark_at] >> _TOKEN_BITS).to_bytes(MARK_BYTES, "little")
    return Chunk(name_of(parent, tokens, mark_at, mark), parent, start, tokens, mark_at, mark)


def name_of(parent: bytes, tokens: bytes, mark_at: int, mark: bytes) -> bytes:
    """Name a chunk by what it holds, and by the name of the one before it. No tokens of what is public are
    hashed as the mark of something private.
    """
    place = struct.pack("<I", mark_at) + mark if mark else b""
    kind = _MARKED if mark else _PUBLIC
    return hashlib.blake2b(place + tokens, digest_size=NAME_BYTES, key=parent, person=kind).digest()


def chunks_of(keys: Sequence[int], root: bytes, size: int = CHUNK_SIZE) -> Iterator[Chunk]:
    """Cut a text into chunks, of which the last may be shorter than the others."""
    parent = root
    for start in range(0, len(keys), size):
        chunk = chunk_after(parent, start, keys[start : start + size])
        yield chunk
        parent = chunk.name


def _num_equal(left: bytes, right: bytes) -> int:
    """Count the bytes that agree, by halves."""
    low, high = 0, min(len(left), len(right))
    if left[:high] == right[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low
