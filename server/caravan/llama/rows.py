"""Rows of logits in native code, where the build has it (`deploy/build/patches/rows.patch`).

Portable builds have a module for each processor instead, in which nothing is found by its name; they go
without, as those that are not ours do. All of it is equal to the last bit to what NumPy does in
`caravan/engine/sampling/`, which is used then.
"""

import ctypes
import functools
from array import array

import llama_cpp.llama_cpp
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]

# A kernel that is asked for more, or of fewer, is no gain.
MOST_LARGEST = 256
_FEWEST_LOGITS = 1024
# Weights that are added up at once in a long row, as rows.cpp has it, too.
BLOCK = 512


class _Draw(ctypes.Structure):
    """`caravan_draw`, as caravan/rows.cpp has it."""

    _fields_ = (
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_float),
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("min_keep", ctypes.c_int32),
        ("room", ctypes.c_int32),
        ("num_left", ctypes.c_int32),
        ("peak", ctypes.c_float),
        ("ids", ctypes.c_void_p),
        ("reached", ctypes.c_void_p),
    )


@functools.cache
def _native() -> ctypes.CDLL | None:
    """The library, or None without the kernel."""
    library: ctypes.CDLL = llama_cpp.llama_cpp._lib
    if not hasattr(library, "caravan_top"):
        return None
    at, whole, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
    library.caravan_top.argtypes = [at, whole, whole, at]
    library.caravan_penalize.argtypes = [at, whole, at, at, whole, real, real, real]
    library.caravan_begin.argtypes = [at, at, whole]
    library.caravan_pick.argtypes = [at, at, whole, ctypes.c_double]
    return library


def has_kernel() -> bool:
    """Whether this build of llama.cpp has it."""
    return _native() is not None


def largest(logits: Floats, count: int) -> Ids | None:
    """Places of the `count` largest logits, ascending: of equal ones the first, none that is minus infinity.

    None where there is no kernel or it is no gain, and where a logit is no number, or none is left.
    """
    if not 0 < count <= MOST_LARGEST or len(logits) < _FEWEST_LOGITS or (native := _native()) is None:
        return None
    places: Ids = np.empty(count, np.int32)
    num = native.caravan_top(_address(logits), len(logits), count, _address(places))
    return places[:num] if num > 0 else None


def penalize(logits: Floats, ids: "array[int]", counts: "array[int]", *strengths: float) -> bool:
    """Lower the logits of tokens seen so often, by repeat, presence and frequency; of one at least.

    False where there is no kernel or no such token: nothing is changed then.
    """
    if (native := _native()) is None:
        return False
    row, seen = (_address(logits), len(logits)), (_address(ids), _address(counts), len(ids))
    return bool(native.caravan_penalize(*row, *seen, *strengths) > 0)


class RowDraw:
    """Draws of one sequence: the `top_k` likeliest or, with 0, all; of these by `top_p`, then by `min_p`, a
    logarithm; at least `min_keep`. Then the temperature, which is more than 0.
    """

    def __init__(
        self, vocab_size: int, *, top_k: int, top_p: float, min_p: float, min_keep: int, temperature: float
    ) -> None:
        self._size = vocab_size
        native = _native()
        assert native is not None
        self._native = native
        room = top_k or vocab_size // BLOCK + 1
        self._ids: Ids = np.empty(top_k, np.int32)
        self.reached: NDArray[np.float64] = np.empty(room, np.float64)
        self._draw = _Draw(
            top_p=top_p,
            min_p=min_p,
            temperature=temperature,
            top_k=top_k,
            min_keep=min_keep,
            room=room,
            ids=self._ids.ctypes.data,
            reached=self.reached.ctypes.data,
        )
        self._at = ctypes.addressof(self._draw)
        self._row = 0

    def begin(self, logits: Floats) -> int:
        """Tell how many of the tokens of a row [vocab_size] may be drawn; below 1, the row is not covered."""
        self._row = _address(logits)
        return int(self._native.caravan_begin(self._at, self._row, self._size))

    def pick(self, share: float) -> int:
        """Take the token at this share, 0 to 1, of all weights; the row is still the same."""
        return int(self._native.caravan_pick(self._at, self._row, self._size, share))


def _address(memory: "NDArray[np.generic] | array[int]") -> int:
    # Three times as quick as NumPy's own ways, which its stubs do not know. Raises for memory that is not
    # in one piece, or may not be written.
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))  # type: ignore[arg-type]
