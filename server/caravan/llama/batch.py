"""Tokens on their way into one `llama_decode`."""

import ctypes
from collections.abc import Sequence as SequenceOf

import llama_cpp
import numpy as np
from numpy.typing import NDArray


class Batch:
    """A `llama_batch` whose arrays are NumPy's own memory; cleared and refilled for each step.

    The arrays hold `capacity` entries, the first `num_tokens` of which count: `token_ids`, `positions`,
    `seq_ids` (int32) and `wants_logits` (int8). Rows of logits come out in the order of the marked tokens.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_tokens = 0
        self.num_outputs = 0
        # Of all tokens and sequence ids, for whoever checks them: NumPy is slow on a few numbers.
        self.lowest_token_id = self.highest_token_id = self.highest_seq_id = 0
        self.token_ids: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.positions: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.seq_ids: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.wants_logits: NDArray[np.int8] = np.zeros(capacity, np.int8)
        self._seq_counts: NDArray[np.int32] = np.ones(capacity, np.int32)
        # llama.cpp wants one pointer a token to its sequence ids; each points at its cell of `seq_ids`.
        self._seq_pointers = self.seq_ids.ctypes.data + np.arange(capacity, dtype=np.uint64) * 4
        self._native = self._make_native()

    def add(self, seq_id: int, position: int, token_ids: SequenceOf[int], *, wants_logits: bool) -> None:
        """Append a run of one sequence that starts at `position`; `wants_logits` marks its last token.

        Raises ValueError when the run does not fit.
        """
        start, end = self.num_tokens, self.num_tokens + len(token_ids)
        if end > self.capacity or not token_ids:
            raise ValueError(
                f"a run of {len(token_ids)} tokens does not fit: {start} of {self.capacity} used"
            )
        if end - start == 1:
            self.token_ids[start], self.positions[start] = token_ids[0], position
            self.seq_ids[start], self.wants_logits[start] = seq_id, 0
        else:
            self.token_ids[start:end] = token_ids
            self.positions[start:end] = np.arange(position, position + end - start)
            self.seq_ids[start:end] = seq_id
            self.wants_logits[start:end] = 0
        self.lowest_token_id = min(self.lowest_token_id, *token_ids)
        self.highest_token_id = max(self.highest_token_id, *token_ids)
        self.highest_seq_id = max(self.highest_seq_id, seq_id)
        if wants_logits:
            self.wants_logits[end - 1] = 1
            self.num_outputs += 1
        self.num_tokens = end

    def mark(self, count: int) -> None:
        """Want the logits of all of the last `count` tokens."""
        marked = self.wants_logits[self.num_tokens - count : self.num_tokens]
        self.num_outputs += count - int(marked.sum())
        marked[:] = 1

    def clear(self) -> None:
        """Forget all tokens."""
        self.num_tokens = 0
        self.num_outputs = 0
        self.lowest_token_id = self.highest_token_id = self.highest_seq_id = 0

    def native(self) -> "llama_cpp.llama_batch":
        """Return the structure for `llama_decode`, valid until the next change."""
        self._native.n_tokens = self.num_tokens
        return self._native

    def _make_native(self) -> "llama_cpp.llama_batch":
        return native_batch(
            token=self.token_ids,
            pos=self.positions,
            n_seq_id=self._seq_counts,
            seq_id=self._seq_pointers,
            logits=self.wants_logits,
        )


def native_batch(**arrays: NDArray[np.generic]) -> "llama_cpp.llama_batch":
    """Make a `llama_batch` whose fields point to these arrays, which have to live as long as it does."""
    native = llama_cpp.llama_batch()
    types = dict(llama_cpp.llama_batch._fields_)
    for name, array in arrays.items():
        setattr(native, name, ctypes.cast(array.ctypes.data, types[name]))
    return native
