"""Weights at work: a `llama_context` for text, its memory of sequences and the logits it leaves."""

import contextlib
import ctypes
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.config.llama_config import PLAIN_CONTEXT, ContextOptions
from caravan.llama import library, sequence_states
from caravan.llama.adapter import Adapter
from caravan.llama.batch import Batch
from caravan.llama.checkpoints import PartialStates, State
from caravan.llama.context_params import has_tiles, set_cells, set_computing
from caravan.llama.control_vector import steer
from caravan.llama.media_batch import MediaBatch
from caravan.llama.model import MemoryKind, Model
from caravan.llama.native_context import ContextError, check, made, params_of, rows
from caravan.llama.sequence_states import RangeStates, WholeStates

__all__ = ["Context", "ContextError", "DecodeStatus", "NotGenerativeError", "State"]


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
    there are `ranges`, unless they need an id more than llama.cpp has. With `num_window_cells`, layers with a
    sliding window have so many cells alone, and sequences no more there than the window; `num_window_cells`
    are then those beside a batch. Of what cannot be cut, there is `partial`.
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
        options: ContextOptions = PLAIN_CONTEXT,
        num_window_cells: int = 0,
        adapters: Iterable[tuple[str, str]] = (),
    ) -> None:
        has_ranges = saves_ranges and model.memory_kind is MemoryKind.ATTENTION
        num_ids = min(max_sequences + has_ranges, library.max_sequences())
        params = params_of(num_cells, batch_size, num_ids)
        set_computing(params, options, num_threads)
        set_cells(params, options)
        # Left at 0, llama.cpp reserves a row of logits for every token of a batch; below n_seq_max it aborts.
        params.n_outputs_max = min(num_ids + num_spare_rows, max(batch_size, num_ids))
        has_windows = model.memory_kind is MemoryKind.SLIDING_WINDOW
        is_windowed = has_windows and 0 < num_window_cells < num_cells
        params.swa_full = not is_windowed
        with library.window_cells(num_window_cells):
            self._pointer = made(model, params, options)
        self.num_window_cells = num_window_cells - batch_size if is_windowed else 0
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
        self.media_width, self.num_position_parts = model.input_size, model.num_position_parts
        self.can_cut = model.memory_kind in (MemoryKind.ATTENTION, MemoryKind.SLIDING_WINDOW)
        self.has_tiles = self.can_cut and has_tiles(model, options)
        # ggml's own attention splits a row's cells among threads, and adds up in another order then. Products
        # of rows are known to be the same only where the build has them add up alike.
        is_ours = library.has_runs_of_rows() and not has_tiles(model, options)
        self.can_change_threads = is_ours and not library.has_gpu()
        # Cells out of a sliding window are not saved. From a GPU every cell would be copied on its own.
        is_kept_whole = model.memory_kind in (MemoryKind.ATTENTION, MemoryKind.HYBRID)
        self.can_offload = is_kept_whole and not self.sliding_window and not library.has_gpu()
        self.ranges: RangeStates | WholeStates | None = None
        if num_ids > max_sequences:
            self.ranges = RangeStates(self._pointer, max_sequences)
        elif saves_ranges and not has_ranges:
            self.ranges = WholeStates(self._pointer)
        self._num_outputs = 0
        self._logits_at, self._logits = (0, 0), np.empty((0, self.vocab_size), np.float32)
        self.partial: PartialStates | None = None
        # With states and windows both, llama.cpp writes all there is.
        if is_windowed or not (self.can_cut or self.sliding_window):
            is_all = model.memory_kind is MemoryKind.RECURRENT
            self.partial = PartialStates(self._pointer, is_all=is_all)
        self._model = model
        self._adapters: dict[str, Adapter] = {}
        self._invocations: dict[str, tuple[int, ...]] = {}
        self._lora: tuple[tuple[str, float], ...] = ()
        for name, file in adapters:
            self.add_adapter(name, file)
        if options.control_vectors:
            self._steer(model, options)

    @property
    def adapters(self) -> Mapping[str, tuple[int, ...]]:
        """Names that `use_adapters` knows, each with its `Adapter.invocation`; the same object always."""
        return self._invocations

    def add_adapter(self, name: str, path: str) -> None:
        """Load an adapter under a name. Raises AdapterError."""
        # llama.cpp counts what it adds to a graph when the next change of adapters makes the context ready.
        adapter = self._adapters[name] = Adapter(self._model, path)
        self._invocations[name] = adapter.invocation

    def remove_adapter(self, name: str) -> None:
        """Free an adapter (`llama_adapter_lora_free`). What was computed with it must not be gone on with."""
        if any(name == used for used, _ in self._lora):
            self.use_adapters(())
        del self._invocations[name]
        self._adapters.pop(name).close()

    def use_adapters(self, lora: Sequence[tuple[str, float]]) -> None:
        """Compute with these adapters of `adapters`, by name and strength, from now on; with none, as the
        model is (`llama_set_adapters_lora`). What was computed with others must not be gone on with.
        """
        if tuple(lora) == self._lora:
            return
        pointers = [self._adapters[name].pointer for name, _ in lora]
        handles = (llama_cpp.llama_adapter_lora_p_ctypes * len(lora))(*pointers)
        scales = (ctypes.c_float * len(lora))(*[scale for _, scale in lora])
        llama_cpp.llama_set_adapters_lora(self._pointer, handles, len(lora), scales)
        self._lora = tuple(lora)

    def compute_with(self, num_threads: int) -> None:
        """Compute with so many threads from now on (`llama_set_n_threads`); where `can_change_threads`, all
        that is computed stays the same to the last bit.
        """
        llama_cpp.llama_set_n_threads(self._pointer, num_threads, num_threads)

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        """Run the batch (`llama_decode`). Raises ValueError on a batch that llama.cpp would die of.

        With `unless`, it is given up as soon as that says so, which is asked before each operation on a
        processor (`llama_set_abort_callback`); only where memory can be cut.
        """
        if batch.num_outputs > self._max_outputs:
            raise ValueError(f"{batch.num_outputs} rows of logits asked for, {self._max_outputs} reserved")
        check(batch, self.batch_size, self.vocab_size, self.max_sequences)
        self._num_outputs = 0
        if unless is None:
            code = llama_cpp.llama_decode(self._pointer, batch.native())
        else:
            code = self._decoded_unless(unless, batch)
        if code == 0:
            self._num_outputs = batch.num_outputs
        return _STATUS.get(code, DecodeStatus.FAILED)

    def decode_media(self, batch: MediaBatch) -> DecodeStatus:
        """Run a batch of embeddings, as `decode` does one of tokens."""
        batch.check(self.batch_size, self.media_width, self.num_position_parts, self.max_sequences)
        self._num_outputs = 0
        llama_cpp.llama_set_causal_attn(self._pointer, batch.is_causal)
        try:
            code = llama_cpp.llama_decode(self._pointer, batch.native())
        finally:
            llama_cpp.llama_set_causal_attn(self._pointer, True)
        if code == 0:
            self._num_outputs = batch.num_outputs
        return _STATUS.get(code, DecodeStatus.FAILED)

    def _decoded_unless(self, when: Callable[[], bool], batch: Batch) -> int:
        callback = llama_cpp.ggml_abort_callback(lambda _data: when())
        llama_cpp.llama_set_abort_callback(self._pointer, callback, None)
        try:
            with library.reasons() as errors:
                code = int(llama_cpp.llama_decode(self._pointer, batch.native()))
        finally:
            llama_cpp.llama_set_abort_callback(self._pointer, llama_cpp.ggml_abort_callback(), None)
        # That a batch was given up is no error, though llama.cpp says so.
        if _STATUS.get(code) is not DecodeStatus.STOPPED:
            for error in errors:
                library.log.error("%s", error)
        return code

    def logits(self) -> NDArray[np.float32]:
        """Logits of the last decode, float32 [num_outputs, vocab_size], in the order of the marked tokens.

        A view of llama.cpp's own memory: writable, and valid until the next decode.
        """
        if self._num_outputs == 0:
            return np.empty((0, self.vocab_size), np.float32)
        numbers = llama_cpp.llama_get_logits(self._pointer)
        # They are at the same place after most steps, and to make a view takes longer than to draw.
        place = ctypes.addressof(numbers.contents), self._num_outputs
        if place != self._logits_at:
            self._logits_at, self._logits = place, rows(numbers, self._num_outputs, self.vocab_size)
        return self._logits

    def copy_sequence(self, source: int, target: int, length: int | None) -> None:
        """Let the empty sequence `target` share the first `length` cells of `source`; None shares all.

        Costs no cells but those of a window. Raises ValueError where memory cannot be cut and `length` is
        given.
        """
        if length is not None and not self.can_cut:
            raise ValueError("this model's memory can only be copied whole")
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, -1 if length is None else length)
        if self.partial is not None and self.can_cut:
            self.partial.own_window(target)

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

    def _steer(self, model: Model, options: ContextOptions) -> None:
        """Add control vectors. Some networks of llama.cpp have no place for them, and it does not say so."""
        before = self._first_logits()
        try:
            steer(self._pointer, model, options)
            if np.array_equal(before, self._first_logits()):
                raise ContextError(f"the control vectors change nothing that {model.path} computes")
        except BaseException:
            self.close()
            raise

    def _first_logits(self) -> NDArray[np.float32]:
        batch = Batch(1)
        batch.add(0, 0, [0], wants_logits=True)
        self.decode(batch)
        found = self.logits().copy()
        self.clear()
        return found
