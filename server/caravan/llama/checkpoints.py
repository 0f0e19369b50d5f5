"""Checkpoints: what a sequence had come to at a place, where its cells cannot be cut back to that place.

That is the state of recurrent layers, and the cells in sliding windows (`LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY`;
`tests/llama/test_checkpoint_facts.py`). Of other cells nothing is copied.
"""

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

State = NDArray[np.uint8]

_PARTIAL = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
_ALL = -1


class PartialStates:
    """Saves and brings back sequences of one native context, whose memory has to be of that kind.

    Where `is_all`, there is nothing but a state.
    """

    def __init__(self, context: int, *, is_all: bool) -> None:
        self.is_all = is_all
        self._context = context
        self._memory = llama_cpp.llama_get_memory(context)

    def save(self, seq_id: int) -> State:
        """Copy what a sequence is at its end; raises MemoryError."""
        size = llama_cpp.llama_state_seq_get_size_ext(self._context, seq_id, _PARTIAL)
        state = np.empty(size, np.uint8)
        place = _bytes(state)
        if llama_cpp.llama_state_seq_get_data_ext(self._context, place, size, seq_id, _PARTIAL) != size:
            raise RuntimeError(f"llama.cpp cannot save sequence {seq_id}")
        return state

    def fork(self, source: int | None, target: int, length: int, state: State) -> bool:
        """Let the empty sequence `target` be what one of the same first `length` tokens was when its `state`
        was saved; it shares the cells of `source`. Nothing but a state needs none.

        False where there is no room for a window; `target` is empty then.
        """
        if source is not None:
            # It brings the present state along, so it comes first.
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)
        return self._restore(target, state)

    def rewind(self, seq_id: int, length: int, state: State) -> bool:
        """Take a sequence back to what it was after its first `length` tokens; False and empty as above."""
        if not self._restore(seq_id, state):
            return False
        if not llama_cpp.llama_memory_seq_rm(self._memory, seq_id, length, _ALL):
            raise RuntimeError(f"sequence {seq_id} cannot be cut at {length}")
        return True

    def own_window(self, seq_id: int) -> None:
        """Give a sequence that shares cells of its window with others cells of its own.

        Cells of one sequence are free for all once they are out of its window, and those of several are not.
        """
        if not self._restore(seq_id, self.save(seq_id)):
            raise RuntimeError(f"there is no room for the window of sequence {seq_id}")

    def _restore(self, seq_id: int, state: State) -> bool:
        if llama_cpp.llama_state_seq_set_data_ext(self._context, _bytes(state), len(state), seq_id, _PARTIAL):
            return True
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, _ALL, _ALL)
        return False


def _bytes(state: State) -> "ctypes._Pointer[ctypes.c_uint8]":
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
