"""What cells hold of a sequence, or of a range of one, copied out of a context and into it."""

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class WholeStates:
    """Copies sequences of memory that cannot be cut, so all of them are ranges from 0 to the end."""

    is_whole = True

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def save(self, seq_id: int, start: int, end: int) -> Bytes:
        """Copy what is kept of a sequence of `end` tokens; `start` is 0."""
        _check_whole(start, end)
        return saved(self._pointer, seq_id)

    def restore(self, seq_id: int, state: Bytes, start: int, end: int) -> bool:
        """Fill an empty sequence with what was saved of `end` tokens; False, and it is empty, where there is
        no room, or it cannot be read.
        """
        _check_whole(start, end)
        return restored(self._pointer, seq_id, state)


class RangeStates:
    """Copies ranges of sequences, so that no copy takes longer than its range is long.

    llama.cpp writes and reads whole sequences alone. So a range becomes one of its own for that moment, by an
    id that nobody else uses, and cells are shared for nothing. Only for memory of one stream that can be cut.
    One thread only, that of the context.
    """

    is_whole = False

    def __init__(self, pointer: int, spare_id: int) -> None:
        self._pointer = pointer
        self._memory = llama_cpp.llama_get_memory(pointer)
        self._spare_id = spare_id

    def save(self, seq_id: int, start: int, end: int) -> Bytes:
        """Copy what is in the cells of these positions of a sequence, which all have to be there."""
        llama_cpp.llama_memory_seq_cp(self._memory, seq_id, self._spare_id, start, end)
        try:
            return saved(self._pointer, self._spare_id)
        finally:
            self._clear()

    def restore(self, seq_id: int, state: Bytes, start: int, end: int) -> bool:
        """Give a sequence that ends at `start` the cells up to `end`, of a range that was saved with them.

        Takes as many free cells as the whole range for a moment. False, and nothing has changed, where they
        are not there, or llama.cpp cannot read the range.
        """
        if not restored(self._pointer, self._spare_id, state):
            return False
        llama_cpp.llama_memory_seq_cp(self._memory, self._spare_id, seq_id, start, end)
        self._clear()
        return True

    def _clear(self) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, self._spare_id, -1, -1)


def saved(pointer: int, seq_id: int) -> Bytes:
    """Copy what a context holds of a sequence (`llama_state_seq_get_data`)."""
    size = llama_cpp.llama_state_seq_get_size(pointer, seq_id)
    state = np.empty(size, np.uint8)
    if llama_cpp.llama_state_seq_get_data(pointer, _address(state), size, seq_id) != size:
        raise RuntimeError(f"llama.cpp cannot save sequence {seq_id}")
    return state


def restored(pointer: int, seq_id: int, state: Bytes) -> bool:
    """Fill an empty sequence with what was saved; False, and it is empty still, where there is no room, or it
    cannot be read.
    """
    if llama_cpp.llama_state_seq_set_data(pointer, _address(state), len(state), seq_id):
        return True
    # Of memory in two parts, as with sliding windows, the first may have been filled.
    llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(pointer), seq_id, -1, -1)
    return False


def _check_whole(start: int, end: int) -> None:
    if start or end <= 0:
        raise ValueError(f"a sequence that cannot be cut has no range from {start} to {end}")


def _address(state: Bytes) -> "ctypes._Pointer[ctypes.c_uint8]":
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
