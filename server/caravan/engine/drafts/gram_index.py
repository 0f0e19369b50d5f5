"""Where each run of n tokens of a growing text has ended: sorted arrays of NumPy for what is old, a
dictionary for what is new. A token takes 12 bytes of it.
"""

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
# An odd number without a pattern (Steele and Vigna, 2021, for multiplicative generators modulo 2^64).
_FACTOR = 0xD1342543DE82EF95
# So many new runs are looked up in a dictionary, or a share of the old ones, before all are sorted again.
_MIN_NEW = 1024
_NEW_SHARE = 4
# Fewer than this are added one by one.
_FEW = 48

Ids = NDArray[np.int32]
Hashes = NDArray[np.uint64]


class GramIndex:
    """Knows of runs of `width` tokens by hash: what it finds is to be compared."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._num_known = width - 1
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._ends: Ids = np.empty(0, np.int32)
        self._new: dict[int, list[int]] = {}
        self._num_new = 0

    def extend(self, token_ids: list[int], text: Ids, end: int) -> None:
        """Take in the runs that end up to `end`. Both are the text, which only grows."""
        num_added = end - self._num_known
        if num_added <= 0:
            return
        if num_added > _FEW or self._num_new + num_added > max(_MIN_NEW, len(self._ends) // _NEW_SHARE):
            self._sort(text[:end])
        else:
            for place in range(self._num_known + 1, end + 1):
                self._new.setdefault(_hash(token_ids[place - self._width : place]), []).append(place)
            self._num_new += num_added
        self._num_known = end

    def ends(self, run: list[int], most: int) -> list[int]:
        """Where a run may have ended, the latest first, at most so many places."""
        wanted = _hash(run)
        found = self._new.get(wanted, [])[: -most - 1 : -1]
        if len(found) < most:
            key = np.uint64(wanted)
            low = int(self._hashes.searchsorted(key, "left"))
            if low < len(self._hashes) and self._hashes[low] == key:
                high = int(self._hashes.searchsorted(key, "right"))
                low = max(low, high - most + len(found))
                found += self._ends[low:high][::-1].tolist()
        return found

    def _sort(self, text: Ids) -> None:
        hashes = _hashes(text, self._width)
        order = hashes.argsort(kind="stable")
        self._hashes = hashes[order]
        self._ends = (order + self._width).astype(np.int32)
        self._new, self._num_new = {}, 0


def _hashes(text: Ids, width: int) -> Hashes:
    """The hashes of all runs of a text, in the order of their ends."""
    tokens = text.astype(np.uint64)
    count = len(tokens) - width + 1
    found: Hashes = np.zeros(max(0, count), np.uint64)
    for offset in range(width if count > 0 else 0):
        found = found * np.uint64(_FACTOR) + tokens[offset : offset + count]
    return found


def _hash(run: list[int]) -> int:
    found = 0
    for token_id in run:
        found = (found * _FACTOR + token_id) & _MASK
    return found
