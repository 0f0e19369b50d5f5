"""Masks as lists of tokens."""

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

# Masks that are kept as lists; each has at most twice as many bytes as there are tokens.
_NUM_MASKS = 128


class MaskPlaces:
    """Masks as token ids, which NumPy is quick with; few masks come most of the time, and those are kept.

    Any thread may ask.
    """

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[bool, NDArray[np.int32]]] = OrderedDict()

    def of(self, words: NDArray[np.uint32]) -> tuple[bool, NDArray[np.int32]]:
        """List the tokens that a mask allows (True) or forbids (False), whichever are fewer."""
        with self._lock:
            return self._of(words)

    def _of(self, words: NDArray[np.uint32]) -> tuple[bool, NDArray[np.int32]]:
        key = words.tobytes()
        found = self._kept.get(key)
        if found is None:
            found = self._found(words)
            self._kept[key] = found
            if len(self._kept) > _NUM_MASKS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return found

    def _found(self, words: NDArray[np.uint32]) -> tuple[bool, NDArray[np.int32]]:
        bits = np.unpackbits(words.view(np.uint8), count=self._vocab_size, bitorder="little").view(np.bool_)
        are_fewer = 2 * np.count_nonzero(bits) <= self._vocab_size
        return bool(are_fewer), np.flatnonzero(bits if are_fewer else ~bits).astype(np.int32)
