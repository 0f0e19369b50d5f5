"""Inputs that have been encoded, for who sends them again: bounded in bytes, and found by one group alone."""

from collections import Counter, OrderedDict
from typing import NamedTuple

from caravan.media.values import EncodedMedia, Kind


class CacheKey(NamedTuple):
    """What an input is found by: who shares it, and the bytes that were sent (16 of their hash)."""

    group: str
    kind: Kind
    detail: str
    digest: bytes


class EmbeddingCache:
    """Holds each of its inputs. What makes room is the oldest of the group that has the most bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[CacheKey, tuple[EncodedMedia, int]] = OrderedDict()
        self._bytes_of: Counter[str] = Counter()

    @property
    def num_bytes(self) -> int:
        """How many bytes it holds."""
        return self._bytes_of.total()

    def find(self, key: CacheKey) -> EncodedMedia | None:
        """The input, held for the caller; its turn to go is the last from now on."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        media, _ = self._entries[key]
        media.hold()
        return media

    def add(self, key: CacheKey, media: EncodedMedia, num_bytes: int) -> None:
        """Take over the caller's hold."""
        self._entries[key] = (media, num_bytes)
        self._bytes_of[key.group] += num_bytes
        self.shrink(self._max_bytes)

    def shrink(self, max_bytes: int) -> None:
        """Let go of inputs until it holds no more than so many bytes."""
        while self.num_bytes > max_bytes:
            group, _ = self._bytes_of.most_common(1)[0]
            self._drop(next(key for key in self._entries if key.group == group))

    def clear(self) -> None:
        """Let go of all."""
        for key in list(self._entries):
            self._drop(key)

    def _drop(self, key: CacheKey) -> None:
        media, num_bytes = self._entries.pop(key)
        self._bytes_of[key.group] -= num_bytes
        if self._bytes_of[key.group] <= 0:
            del self._bytes_of[key.group]
        media.release()
