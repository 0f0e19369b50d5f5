"""A fake context that counts positions, as llama.cpp does with M-RoPE: an image has fewer than cells."""

from dataclasses import dataclass, field

import numpy as np
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus, State
from caravan.llama.media_batch import MediaBatch

from tests.fakes import FakeContext


@dataclass
class FakePositions(FakeContext):
    """Each cell has the position that it was given, and lengths are positions."""

    num_position_parts: int = 4
    # number of a cell -> its position
    positions: dict[int, int] = field(default_factory=dict)
    # number of the last cell of an image's piece -> the position behind the image
    _ends: dict[int, int] = field(default_factory=dict)
    _base: int = 0

    def decode(self, batch: Batch, unless: object = None) -> DecodeStatus:
        assert unless is None
        wanted = batch.positions[: batch.num_tokens].copy()
        for seq_id in {int(i) for i in batch.seq_ids[: batch.num_tokens]}:
            own = batch.seq_ids[: batch.num_tokens] == seq_id
            first = self._next_position(seq_id)
            assert wanted[own].tolist() == list(range(first, first + own.sum())), "positions must follow on"
            start = len(self.cells.get(seq_id, ()))
            batch.positions[: batch.num_tokens][own] = range(start, start + own.sum())
        first_cell = self._next_cell
        status = super().decode(batch)
        if status is DecodeStatus.OK:
            self.positions |= {first_cell + i: int(at) for i, at in enumerate(wanted)}
        return status

    def decode_media(self, batch: MediaBatch) -> DecodeStatus:
        first_cell = self._next_cell
        status = super().decode_media(batch)
        if status is DecodeStatus.OK:
            self.positions |= {first_cell + i: int(at) for i, at in enumerate(batch.positions[0])}
            self._ends[self.cells[batch.seq_id][-1][1]] = self._base + batch.place.num_positions
        return status

    def _check_positions(self, batch: MediaBatch, length: int) -> None:
        done = length - batch.place.start
        assert 0 <= done < done + batch.num_cells <= batch.place.num_cells
        self._base = int(batch.positions[0, 0])
        if done:
            first = self.cells[batch.seq_id][batch.place.start][1]
            assert self._base == self.positions[first]
        else:
            assert self._base == self._next_position(batch.seq_id)
        # Row and column are relative to the same, and the last part to nothing.
        assert (batch.positions[1:3] >= self._base).all()
        assert not batch.positions[3].any()

    def _next_position(self, seq_id: int) -> int:
        run = self.cells.get(seq_id)
        if not run:
            return 0
        return self._ends.get(run[-1][1], self.positions[run[-1][1]] + 1)

    def _count(self, seq_id: int, length: int) -> int:
        """The cells before a position."""
        return sum(self.positions[number] < length for _, number in self.cells.get(seq_id, ()))

    def copy_sequence(self, source: int, target: int, length: int | None) -> None:
        super().copy_sequence(source, target, None if length is None else self._count(source, length))

    def share_prefix(self, source: int, target: int, length: int) -> None:
        assert self._count(source, length) == self._count(target, length)
        super().share_prefix(source, target, self._count(source, length))

    def truncate_sequence(self, seq_id: int, length: int) -> None:
        super().truncate_sequence(seq_id, self._count(seq_id, length))

    def save_sequence(self, seq_id: int) -> State:
        run = self.cells[seq_id]
        ends = [self._ends.get(number, -1) for _, number in run]
        fields = [[token for token, _ in run], [self.positions[number] for _, number in run], ends]
        return np.array(fields, np.int32).ravel().view(np.uint8)

    def restore_sequence(self, seq_id: int, state: State) -> bool:
        tokens, positions, ends = state.view(np.int32).reshape(3, -1).tolist()
        if self.num_cells_used + len(tokens) > self.num_cells:
            return False
        first = self._next_cell
        self.add_cells(seq_id, tokens)
        self.positions |= {first + i: at for i, at in enumerate(positions)}
        self._ends |= {first + i: end for i, end in enumerate(ends) if end >= 0}
        return True
