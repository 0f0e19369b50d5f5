"""Weights at work: a `llama_context` for text, its memory of sequences and the logits it leaves, and one for
vectors.
"""

import contextlib
import ctypes
import enum
from collections.abc import Callable, Generator

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.llama import library, sequence_states
from caravan.llama.batch import Batch
from caravan.llama.model import MemoryKind, Model
from caravan.llama.sequence_states import RangeStates, WholeStates

State = NDArray[np.uint8]


class ContextError(Exception):
    """llama.cpp made no context: too little memory, or sizes it does not take."""


class NotGenerativeError(ContextError):
    """The model reads whole texts at once, as encoders do: it makes vectors, no text."""


class DecodeStatus(enum.Enum):
    """What `llama_decode` said.

    NO_ROOM leaves everything as it was. After STOPPED, parts of the batch may be in memory, behind what was
    there before. After FAILED, the whole memory is to be distrusted.
    """

    OK = "ok"
    NO_ROOM = "no room"
    STOPPED = "stopped"
    FAILED = "failed"


_STATUS = {0: DecodeStatus.OK, 1: DecodeStatus.NO_ROOM, 2: DecodeStatus.STOPPED}


class Context:
    """Owns a `llama_context` with unified KV memory: at least `num_cells` cells, shared by all sequences.

    A model without attention has no cells; it then counts as if each sequence had `num_cells` of its own.
    A batch may ask for a row of logits for each sequence, and for `num_spare_rows` more. With `saves_ranges`
    there are `ranges`, unless they need an id more than llama.cpp has.
    Calls that would abort the process raise instead. One thread only. Close it before its model.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_cells: int,
        batch_size: int,
        max_sequences: int,
        num_threads: int,
        num_spare_rows: int = 0,
        saves_ranges: bool = False,
    ) -> None:
        has_ranges = saves_ranges and model.memory_kind is MemoryKind.ATTENTION
        num_ids = min(max_sequences + has_ranges, library.max_sequences())
        params = _params(num_cells, batch_size, num_ids, num_threads)
        # Left at 0, llama.cpp reserves a row of logits for every token of a batch; below n_seq_max it aborts.
        params.n_outputs_max = min(num_ids + num_spare_rows, max(batch_size, num_ids))
        params.swa_full = True
        self._pointer = _made(model, params)
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_free, self._pointer)
        self._memory = llama_cpp.llama_get_memory(self._pointer)
        if not self._memory or not llama_cpp.llama_get_causal_attn(self._pointer):
            self.close()
            raise NotGenerativeError(f"{model.path} keeps no memory of a text, so it cannot generate")
        self.num_cells = int(llama_cpp.llama_n_ctx(self._pointer))
        if model.memory_kind is MemoryKind.RECURRENT:
            self.num_cells *= max_sequences
        self.max_sequences = max_sequences
        self._max_outputs = int(params.n_outputs_max)
        self.batch_size = int(llama_cpp.llama_n_batch(self._pointer))
        self.vocab_size = model.vocab.size
        self.sliding_window = model.sliding_window
        self.can_cut = model.memory_kind in (MemoryKind.ATTENTION, MemoryKind.SLIDING_WINDOW)
        # A GPU's attention has tiles too, but computes rows of many sequences side by side in any case.
        self.has_tiles = self.can_cut and not library.has_gpu() and not library.has_runs_of_rows()
        # Cells out of a sliding window are not saved. From a GPU every cell would be copied on its own.
        self.can_offload = model.memory_kind is MemoryKind.ATTENTION and not library.has_gpu()
        self.ranges: RangeStates | WholeStates | None = None
        if num_ids > max_sequences:
            self.ranges = RangeStates(self._pointer, max_sequences)
        elif saves_ranges and not has_ranges:
            self.ranges = WholeStates(self._pointer)
        self._num_outputs = 0

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        """Run the batch (`llama_decode`). Raises ValueError on a batch that llama.cpp would die of.

        With `unless`, it is given up as soon as that says so, which is asked before each operation on a
        processor (`llama_set_abort_callback`); only where memory can be cut.
        """
        if batch.num_outputs > self._max_outputs:
            raise ValueError(f"{batch.num_outputs} rows of logits asked for, {self._max_outputs} reserved")
        _check(batch, self.batch_size, self.vocab_size, self.max_sequences)
        self._num_outputs = 0
        with self._given_up(unless):
            code = llama_cpp.llama_decode(self._pointer, batch.native())
        if code == 0:
            self._num_outputs = batch.num_outputs
        return _STATUS.get(code, DecodeStatus.FAILED)

    @contextlib.contextmanager
    def _given_up(self, when: Callable[[], bool] | None) -> Generator[None, None, None]:
        if when is None:
            yield
            return
        callback = llama_cpp.ggml_abort_callback(lambda _data: when())
        llama_cpp.llama_set_abort_callback(self._pointer, callback, None)
        try:
            yield
        finally:
            llama_cpp.llama_set_abort_callback(self._pointer, llama_cpp.ggml_abort_callback(), None)

    def logits(self) -> NDArray[np.float32]:
        """Logits of the last decode, float32 [num_outputs, vocab_size], in the order of the marked tokens.

        A view of llama.cpp's own memory: writable, and valid until the next decode.
        """
        if self._num_outputs == 0:
            return np.empty((0, self.vocab_size), np.float32)
        return _rows(llama_cpp.llama_get_logits(self._pointer), self._num_outputs, self.vocab_size)

    def copy_sequence(self, source: int, target: int, length: int | None) -> None:
        """Let the empty sequence `target` share the first `length` cells of `source`; None shares all.

        Costs no cells. Raises ValueError where memory cannot be cut and `length` is given.
        """
        if length is not None and not self.can_cut:
            raise ValueError("this model's memory can only be copied whole")
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, -1 if length is None else length)

    def share_prefix(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` cells of `source`, which has the same tokens there, and free
        its own. Only where memory can be cut.
        """
        llama_cpp.llama_memory_seq_rm(self._memory, target, 0, length)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def save_sequence(self, seq_id: int) -> State:
        """Copy what the cells of a sequence hold, for `restore_sequence`; where `can_offload`."""
        return sequence_states.saved(self._pointer, seq_id)

    def restore_sequence(self, seq_id: int, state: State) -> bool:
        """Fill the empty sequence `seq_id` with what was saved; False where there is no room."""
        return sequence_states.restored(self._pointer, seq_id, state)

    def truncate_sequence(self, seq_id: int, length: int) -> None:
        """Forget all of a sequence after its first `length` tokens.

        Raises ValueError where it cannot be cut.
        """
        if not llama_cpp.llama_memory_seq_rm(self._memory, seq_id, length, -1):
            raise ValueError(f"sequence {seq_id} cannot be cut at {length}")

    def remove_sequence(self, seq_id: int) -> None:
        """Forget a sequence; cells that another sequence shares stay."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def min_position(self, seq_id: int) -> int:
        """Return the first position in memory, -1 for an empty sequence (`llama_memory_seq_pos_min`)."""
        return int(llama_cpp.llama_memory_seq_pos_min(self._memory, seq_id))

    def clear(self) -> None:
        """Forget every sequence."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self._num_outputs = 0

    def close(self) -> None:
        """Free the native context; a second call does nothing."""
        self._exit.close()


class EmbeddingContext:
    """Owns a `llama_context` without pooling, so that texts may be computed in pieces and packed at will.

    With `ranks`, the head of a ranking model is put on each text's first token, or on its last in a model
    whose tokens do not see what comes after them (`LLAMA_POOLING_TYPE_RANK`).
    With `keeps_pairs`, attention on a processor is not flash attention: it keeps a number for each pair.
    `num_cells` bounds the tokens of all texts in memory together. Calls that would abort the process raise
    instead. One thread only. Close it before its model.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_cells: int,
        batch_size: int,
        max_sequences: int,
        num_threads: int,
        keeps_pairs: bool,
        ranks: bool = False,
    ) -> None:
        params = _params(num_cells, batch_size, max_sequences, num_threads)
        params.embeddings = True
        params.pooling_type = (
            llama_cpp.LLAMA_POOLING_TYPE_RANK if ranks else llama_cpp.LLAMA_POOLING_TYPE_NONE
        )
        params.swa_full = False
        if keeps_pairs and not library.has_gpu():
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._pointer = _made(model, params)
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_free, self._pointer)
        self._memory = llama_cpp.llama_get_memory(self._pointer)
        self._vocab_size = model.vocab.size
        self.num_cells = num_cells
        self.batch_size = batch_size
        self.max_sequences = max_sequences
        self.width = model.num_ranks if ranks else model.embedding_size
        self._ranks = ranks

    def compute(self, batch: Batch) -> list[NDArray[np.float32]]:
        """Compute the batch's texts, all of whose tokens are marked: for each run of tokens of one text, in
        their order, its vectors, float32 [num_tokens, width], or what the head says of it, [1, width].

        Views of llama.cpp's own memory, valid until the next call. Raises ContextError when the computation
        fails, and ValueError on a batch that llama.cpp would die of.
        """
        _check(batch, self.batch_size, self._vocab_size, self.max_sequences)
        count = batch.num_tokens
        if batch.num_outputs != count or batch.positions[:count].max() >= self.num_cells:
            raise ValueError("the batch has a token without a vector, or a position outside the context")
        # Without a memory, this encodes.
        code = llama_cpp.llama_decode(self._pointer, batch.native())
        if code != 0:
            raise ContextError(f"llama.cpp cannot compute embeddings (code {code})")
        seq_ids = batch.seq_ids[:count]
        starts = np.flatnonzero(np.diff(seq_ids, prepend=-1))
        if self._ranks:
            found = (llama_cpp.llama_get_embeddings_seq(self._pointer, seq_ids[start]) for start in starts)
            return [_rows(numbers, 1, self.width) for numbers in found]
        rows = _rows(llama_cpp.llama_get_embeddings(self._pointer), count, self.width)
        return np.split(rows, starts[1:])

    def remove_sequence(self, seq_id: int) -> None:
        """Forget a text."""
        if self._memory:
            llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def close(self) -> None:
        """Free the native context; a second call does nothing."""
        self._exit.close()


def _params(
    num_cells: int, batch_size: int, max_sequences: int, num_threads: int
) -> "llama_cpp.llama_context_params":
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = num_cells
    params.n_batch = params.n_ubatch = batch_size
    params.n_seq_max = max_sequences
    params.n_threads = params.n_threads_batch = num_threads
    params.kv_unified = True
    return params


def _made(model: Model, params: "llama_cpp.llama_context_params") -> int:
    """The pointer of a new native context. Raises ContextError."""
    pointer = llama_cpp.llama_init_from_model(model.pointer, params)
    if not pointer:
        raise ContextError(f"llama.cpp cannot make a context of {params.n_ctx} cells for {model.path}")
    return int(pointer)


def _check(batch: Batch, batch_size: int, vocab_size: int, max_sequences: int) -> None:
    """Raise ValueError over a batch that llama.cpp would die of."""
    count = batch.num_tokens
    if not 0 < count <= batch_size:
        raise ValueError(f"a batch of {count} tokens, where 1 to {batch_size} are possible")
    ids = batch.token_ids[:count]
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError("the batch has a token id outside the vocabulary")
    if batch.seq_ids[:count].max() >= max_sequences:
        raise ValueError("the batch has a sequence id outside the context")


def _rows(address: "ctypes._Pointer[ctypes.c_float]", num_rows: int, width: int) -> NDArray[np.float32]:
    """A view of native memory, float32 [num_rows, width]."""
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (num_rows, width))
