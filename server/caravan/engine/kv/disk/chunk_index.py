"""Which chunks there are, and the longest way through them that a text goes."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from caravan.engine.kv.disk.chunks import TOKEN_BYTES, WHOLE, Chunk, chunk_after

# Of many chunks after one, those that begin with other tokens than these are not looked at.
_HEAD_TOKENS = 16


class Found(NamedTuple):
    """The first `length` keys of a text are in these chunks, of which the last may go on otherwise."""

    length: int
    chunks: tuple[Chunk, ...]


class ChunkIndex:
    """Chunks by name, and those that follow on each. A chunk is there only with all that are before it.

    If they are WHOLE, each is a text by itself, of which no part is of use.
    """

    def __init__(self, root: bytes, chunk_size: int) -> None:
        self._root = root
        self._chunk_size = chunk_size
        self._is_whole = chunk_size == WHOLE
        self._head_bytes = TOKEN_BYTES * max(1, min(_HEAD_TOKENS, chunk_size // _HEAD_TOKENS))
        self._chunks: dict[bytes, Chunk] = {}
        # By the chunk before, and the tokens that they begin with; those that have fewer are together.
        self._after: dict[bytes, dict[bytes, dict[bytes, Chunk]]] = {}

    def __len__(self) -> int:
        return len(self._chunks)

    def __contains__(self, name: bytes) -> bool:
        return name in self._chunks

    def has_place_for(self, chunk: Chunk) -> bool:
        """Tell whether the chunk before this one is there."""
        return chunk.parent == self._root or chunk.parent in self._chunks

    def add(self, chunk: Chunk) -> list[bytes]:
        """Add a chunk, and name those that are of no use any more, being its beginnings; they are dropped.

        Without the chunk before it, nothing is added, and it is of no use itself.
        """
        shorter = [
            other.name
            for other in self._near(chunk)
            if not self._is_whole and other.count < chunk.count and _begins(other, chunk)
        ]
        if not self._insert(chunk):
            return [chunk.name]
        return [gone for name in shorter for gone in self.drop(name)]

    def add_all(self, chunks: Iterable[Chunk]) -> list[bytes]:
        """Add chunks that come in any order, and name those that lack the one before them."""
        ordered = sorted(chunks, key=lambda chunk: chunk.start)
        return [chunk.name for chunk in ordered if not self._insert(chunk)]

    def drop(self, name: bytes) -> list[bytes]:
        """Take out a chunk and all that follow on it; their names."""
        dropped: list[bytes] = []
        pending = [name]
        while pending:
            chunk = self._chunks.pop(pending.pop(), None)
            if chunk is None:
                continue
            dropped.append(chunk.name)
            groups = self._after[chunk.parent]
            group = groups[self._head(chunk)]
            del group[chunk.name]
            if not group:
                del groups[self._head(chunk)]
            if not groups:
                del self._after[chunk.parent]
            pending += itertools.chain(*self._after.get(chunk.name, {}).values())
        return dropped

    def match(self, keys: Sequence[int]) -> Found:
        """Find the longest beginning of `keys` that is there."""
        way: list[Chunk] = []
        length = 0
        for wanted in self._wanted(keys):
            if (chunk := self._chunks.get(wanted.name)) is not None:
                way.append(chunk)
                length += chunk.count
                continue
            others = self._near(wanted)
            if self._is_whole:
                others = (other for other in others if _begins(other, wanted))
            nearest = max(others, key=wanted.num_common, default=None)
            if nearest is not None and (common := wanted.num_common(nearest)):
                way.append(nearest)
                length += common
            break
        return Found(length, tuple(way))

    def missing(self, keys: Sequence[int]) -> Iterator[Chunk]:
        """Yield the chunks of a text that are not there, in their order, nor the beginnings of others."""
        for wanted in self._wanted(keys):
            if wanted.name not in self._chunks and not self._is_covered(wanted):
                yield wanted

    def known(self, keys: Sequence[int]) -> list[bytes]:
        """Name the chunks on a text's way that are there whole."""
        return [wanted.name for wanted in self._wanted(keys) if wanted.name in self._chunks]

    def _is_covered(self, wanted: Chunk) -> bool:
        return not self._is_whole and any(_begins(wanted, other) for other in self._near(wanted))

    def _insert(self, chunk: Chunk) -> bool:
        """Add a chunk, if the one before it is there."""
        if not self.has_place_for(chunk):
            return False
        group = self._after.setdefault(chunk.parent, {}).setdefault(self._head(chunk), {})
        group[chunk.name] = self._chunks[chunk.name] = chunk
        return True

    def _near(self, wanted: Chunk) -> Iterable[Chunk]:
        """All chunks in the place of another that may have more in common with it than a few tokens."""
        groups = self._after.get(wanted.parent, {})
        head = self._head(wanted)
        near = (groups.get(head, {}), groups.get(b"", {})) if head else groups.values()
        return itertools.chain(*(group.values() for group in near))

    def _head(self, chunk: Chunk) -> bytes:
        """What a chunk is filed under: the tokens that it begins with, or nothing where it has fewer."""
        return chunk.tokens[: self._head_bytes] if len(chunk.tokens) >= self._head_bytes else b""

    def _wanted(self, keys: Sequence[int]) -> Iterator[Chunk]:
        parent = self._root
        for start in range(0, len(keys), self._chunk_size):
            wanted = chunk_after(parent, start, keys[start : start + self._chunk_size])
            yield wanted
            parent = wanted.name


def _begins(chunk: Chunk, other: Chunk) -> bool:
    """Tell whether a chunk is the beginning of another."""
    return chunk.num_common(other) == chunk.count
