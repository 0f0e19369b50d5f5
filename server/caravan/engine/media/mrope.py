"""Cells into positions, where both differ: with M-RoPE an image of many cells takes few positions.

All above thinks in cells: a sequence's n-th token is in its n-th cell. Below it, llama.cpp knows positions
alone. Each cell of an image has the position of its first one, so llama.cpp could not cut inside of it.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from caravan.engine.interfaces import DecodingContext, PartialStates
from caravan.engine.params import AdapterSet
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus, State
from caravan.llama.media_batch import MediaBatch, MediaPlace

_FIELDS = 3
_INT_BYTES = 4


class _Places:
    """Where the images of each sequence are."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[MediaPlace, ...]] = {}

    @property
    def are_any(self) -> bool:
        return bool(self._runs)

    def note(self, seq_id: int, run: MediaPlace) -> None:
        """Note a run that has cells in memory now, all of them or the first."""
        runs = self._runs.get(seq_id, ())
        if run not in runs:
            self._runs[seq_id] = (*runs, run)

    def position(self, seq_id: int, cell: int) -> int:
        """Tell the position of a cell that is in no image, or begins one."""
        return cell - sum(run.num_cells - run.num_positions for run in self._before(seq_id, cell))

    def num_saved(self, seq_id: int) -> int:
        """Count the cells that a sequence has beyond its positions."""
        return sum(run.num_cells - run.num_positions for run in self._runs.get(seq_id, ()))

    def cut(self, seq_id: int, length: int) -> None:
        """Forget what is behind the first `length` cells."""
        self._set(seq_id, self._before(seq_id, length))

    def copy(self, source: int, target: int, length: int | None) -> None:
        """Have a sequence begin as another does."""
        runs = self._runs.get(source, ()) if length is None else self._before(source, length)
        self._set(target, runs)

    def share(self, source: int, target: int, length: int) -> None:
        """Have the first `length` cells be those of another, which has the same there."""
        assert self._before(source, length) == self._before(target, length), "another image"

    def clear(self) -> None:
        """Forget all."""
        self._runs.clear()

    def packed(self, seq_id: int, state: State) -> State:
        """Put the images of a sequence behind its state."""
        runs = self._runs.get(seq_id, ())
        fields = [number for run in runs for number in (run.start, run.num_cells, run.num_positions)]
        return np.concatenate([state, np.array([*fields, len(runs)], np.int32).view(np.uint8)])

    def unpacked(self, seq_id: int, state: State) -> State:
        """Give a sequence the images that are behind a state; the state alone."""
        count = int(np.frombuffer(state[-_INT_BYTES:].tobytes(), np.int32)[0])
        end = len(state) - _INT_BYTES * (1 + _FIELDS * count)
        fields = np.frombuffer(state[end:-_INT_BYTES].tobytes(), np.int32).reshape(count, _FIELDS)
        self._set(seq_id, tuple(MediaPlace(*map(int, row)) for row in fields))
        return state[:end]

    def _before(self, seq_id: int, length: int) -> tuple[MediaPlace, ...]:
        runs = tuple(run for run in self._runs.get(seq_id, ()) if run.start < length)
        if runs and runs[-1].start + runs[-1].num_cells > length:
            raise ValueError(f"cell {length} of sequence {seq_id} is in the middle of an image")
        return runs

    def _set(self, seq_id: int, runs: tuple[MediaPlace, ...]) -> None:
        if runs:
            self._runs[seq_id] = runs
        else:
            self._runs.pop(seq_id, None)


class PositionedContext:
    """A context whose sequences are counted in cells, over one that counts positions (`DecodingContext`).

    Ranges of sequences are not copied: an image might be on their border.
    """

    def __init__(self, context: DecodingContext) -> None:
        self._context = context
        self._places = _Places()
        self.num_cells, self.max_sequences = context.num_cells, context.max_sequences
        self.vocab_size, self.sliding_window = context.vocab_size, context.sliding_window
        self.num_window_cells = context.num_window_cells
        self.can_cut, self.has_tiles = context.can_cut, context.has_tiles
        self.can_offload, self.can_change_threads = context.can_offload, context.can_change_threads
        self.media_width, self.num_position_parts = context.media_width, context.num_position_parts
        self.ranges = None
        partial = context.partial
        self.partial = None if partial is None else _PositionedStates(partial, self._places)

    @property
    def adapters(self) -> Mapping[str, tuple[int, ...]]:
        """`Context.adapters`."""
        return self._context.adapters

    def use_adapters(self, lora: AdapterSet) -> None:
        """`Context.use_adapters`."""
        self._context.use_adapters(lora)

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        """`Context.decode`; positions of the batch are those of cells before, and true ones after it."""
        if self._places.are_any:
            count = batch.num_tokens
            seq_ids, positions = batch.seq_ids[:count], batch.positions[:count]
            for seq_id in np.unique(seq_ids).tolist():
                own = seq_ids == seq_id
                first = int(positions[own][0])
                positions[own] += self._places.position(seq_id, first) - first
        return self._context.decode(batch, unless)

    def decode_media(self, batch: MediaBatch) -> DecodeStatus:
        """`Context.decode_media`, of cells of an image."""
        start = batch.place.start
        # The last part of a position is none of time, row and column, and stays as it is.
        batch.positions[:-1] += self._places.position(batch.seq_id, start) - start
        status = self._context.decode_media(batch)
        if status is DecodeStatus.OK:
            self._places.note(batch.seq_id, batch.place)
        return status

    def compute_with(self, num_threads: int) -> None:
        """`Context.compute_with`."""
        self._context.compute_with(num_threads)

    def logits(self) -> NDArray[np.float32]:
        """`Context.logits`."""
        return self._context.logits()

    def copy_sequence(self, source: int, target: int, length: int | None) -> None:
        """`Context.copy_sequence`."""
        end = None if length is None else self._places.position(source, length)
        self._context.copy_sequence(source, target, end)
        self._places.copy(source, target, length)

    def share_prefix(self, source: int, target: int, length: int) -> None:
        """`Context.share_prefix`."""
        self._places.share(source, target, length)
        self._context.share_prefix(source, target, self._places.position(source, length))

    def save_sequence(self, seq_id: int) -> State:
        """`Context.save_sequence`."""
        return self._places.packed(seq_id, self._context.save_sequence(seq_id))

    def restore_sequence(self, seq_id: int, state: State) -> bool:
        """`Context.restore_sequence`."""
        is_done = self._context.restore_sequence(seq_id, self._places.unpacked(seq_id, state))
        if not is_done:
            self._places.cut(seq_id, 0)
        return is_done

    def truncate_sequence(self, seq_id: int, length: int) -> None:
        """`Context.truncate_sequence`."""
        self._context.truncate_sequence(seq_id, self._places.position(seq_id, length))
        self._places.cut(seq_id, length)

    def remove_sequence(self, seq_id: int) -> None:
        """`Context.remove_sequence`."""
        self._context.remove_sequence(seq_id)
        self._places.cut(seq_id, 0)

    def min_position(self, seq_id: int) -> int:
        """`Context.min_position`; of a cell that is at least as far from the sequence's end."""
        position = self._context.min_position(seq_id)
        return position + self._places.num_saved(seq_id) if position > 0 else position

    def clear(self) -> None:
        """`Context.clear`."""
        self._context.clear()
        self._places.clear()


class _PositionedStates:
    """`PartialStates` of such a context."""

    def __init__(self, partial: PartialStates, places: _Places) -> None:
        self._partial = partial
        self._places = places
        self.is_all = partial.is_all

    def save(self, seq_id: int) -> State:
        """`PartialStates.save`."""
        return self._places.packed(seq_id, self._partial.save(seq_id))

    def fork(self, source: int | None, target: int, length: int, state: State) -> bool:
        """`PartialStates.fork`."""
        return self._restored(
            target, length, state, lambda end, own: self._partial.fork(source, target, end, own)
        )

    def rewind(self, seq_id: int, length: int, state: State) -> bool:
        """`PartialStates.rewind`."""
        return self._restored(seq_id, length, state, lambda end, own: self._partial.rewind(seq_id, end, own))

    def _restored(
        self, seq_id: int, length: int, state: State, restore: Callable[[int, State], bool]
    ) -> bool:
        own = self._places.unpacked(seq_id, state)
        is_done = restore(self._places.position(seq_id, length), own)
        if not is_done:
            self._places.cut(seq_id, 0)
        return is_done
