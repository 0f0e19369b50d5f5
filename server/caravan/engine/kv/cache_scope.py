"""Whose memory a sequence's is: tokens as the cache tells them apart."""

import functools
import hashlib
import sys
from dataclasses import dataclass

# Above all token ids, which are 32-bit numbers.
_MARK_SHIFT = 32


@dataclass(frozen=True, slots=True)
class CacheScope:
    """The first `num_public` tokens of a sequence may be shared with any other, the rest with equal salts.

    Without a `name` all of it is public.
    """

    name: str = ""
    num_public: int = 0

    def keys(self, token_ids: list[int], first: int = 0) -> list[int]:
        """The tokens, the first one that is not public marked by whose it is: from there on no other agrees.

        `first` is the position of the first token.
        """
        position = self.num_public - first
        if not self.name or not 0 <= position < len(token_ids):
            return token_ids
        keys = list(token_ids)
        keys[position] |= _mark(self.name)
        return keys

    def num_shareable(self, other: "CacheScope") -> int:
        """How many tokens, at most, two sequences of these salts can share."""
        if self == other:
            return sys.maxsize
        return min(scope.num_public if scope.name else sys.maxsize for scope in (self, other))


@functools.lru_cache(1024)
def _mark(name: str) -> int:
    """A number for a name that no other has, for all that cryptography knows."""
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little") << _MARK_SHIFT
