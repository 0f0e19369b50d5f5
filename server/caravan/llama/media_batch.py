"""Embeddings of an image or a sound on their way into one `llama_decode`, in the place of tokens."""

from typing import NamedTuple

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.llama.batch import native_batch

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class MediaPlace(NamedTuple):
    """The cells of one image or sound in its sequence, of which a batch may have some, and how far the
    position moves on behind them.
    """

    start: int
    num_cells: int
    num_positions: int


class MediaBatch:
    """A `llama_batch` of one sequence's next cells, made for one decode.

    `embeddings` are float32 [num_cells, width]. `positions` are int32, a column for each cell: one row, or
    four where positions have as many parts (M-RoPE). With `wants_logits` there is a row of logits for the
    last cell. Unless it `is_causal`, each cell sees all of them.
    """

    def __init__(
        self,
        seq_id: int,
        place: MediaPlace,
        embeddings: Floats,
        positions: Ints,
        *,
        is_causal: bool,
        wants_logits: bool,
    ) -> None:
        self.seq_id = seq_id
        self.place = place
        # llama.cpp reads rows one after the other; those of a file that is mapped are already.
        self.embeddings: Floats = np.ascontiguousarray(embeddings, np.float32)
        self.positions: Ints = np.ascontiguousarray(positions, np.int32)
        self.is_causal = is_causal
        self.num_cells = len(embeddings)
        self.num_outputs = int(wants_logits)
        self._seq_ids = np.full(self.num_cells, seq_id, np.int32)
        self._seq_counts = np.ones(self.num_cells, np.int32)
        self._seq_pointers = self._seq_ids.ctypes.data + np.arange(self.num_cells, dtype=np.uint64) * 4
        self._outputs = np.zeros(self.num_cells, np.int8)
        self._outputs[-1:] = wants_logits

    def native(self) -> "llama_cpp.llama_batch":
        """Return the structure for `llama_decode`, valid as long as this object is."""
        native = native_batch(
            embd=self.embeddings,
            pos=self.positions,
            n_seq_id=self._seq_counts,
            seq_id=self._seq_pointers,
            logits=self._outputs,
        )
        native.n_tokens = self.num_cells
        return native

    def check(self, batch_size: int, width: int, num_parts: int, max_sequences: int) -> None:
        """Raise ValueError over what llama.cpp would die of, or compute nonsense from."""
        if not 0 < self.num_cells <= batch_size:
            raise ValueError(f"a batch of {self.num_cells} cells, where 1 to {batch_size} are possible")
        if self.embeddings.shape != (self.num_cells, width):
            raise ValueError(f"embeddings of the shape {self.embeddings.shape}, where rows have {width}")
        if self.positions.shape != (num_parts, self.num_cells):
            raise ValueError(f"positions of the shape {self.positions.shape}, of {num_parts} parts")
        if not 0 <= self.seq_id < max_sequences:
            raise ValueError("the batch has a sequence id outside the context")
        if not np.isfinite(self.embeddings).all():
            raise ValueError("the embeddings are not finite")
