"""Sequences copied out of the cells and back: whole, or in pieces where somebody wants single ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.host_cache import Copy, OffloadedSequence, Usage
from caravan.llama.context import State


@dataclass(frozen=True, slots=True)
class RestingSequence:
    """A sequence that is kept to be matched: its keys, and how many of them were used more than once.

    `piece` gives what cells hold from one position to another; None where they have no copy of their own.
    """

    keys: list[int]
    num_reused: int
    piece: Callable[[int, int], State | None]


class SequenceCopies:
    """Copies sequences of one context. Pieces begin at multiples of `piece_size`; 0 copies them whole."""

    def __init__(self, context: DecodingContext, piece_size: int = 0) -> None:
        self._context = context
        self._ranges = context.ranges if piece_size else None
        self._piece_size = piece_size

    def save(self, seq_id: int, length: int) -> Copy:
        """Copy a sequence of so many tokens."""
        if (ranges := self._ranges) is None:
            return (self._context.save_sequence(seq_id),)
        return tuple(ranges.save(seq_id, start, end) for start, end in self._pieces(length))

    def weight(self, seq_id: int, copy: Copy) -> float:
        """Tell how much a copy of a sequence takes, with its state if it has one, in terms of its cells."""
        if self._context.can_cut or (partial := self._context.partial) is None:
            return 1.0
        total = sum(map(len, copy))
        return total / max(1, total - len(partial.save(seq_id)))

    def restore(self, seq_id: int, length: int, copy: Copy) -> bool:
        """Fill an empty sequence with a copy; False, and it is empty, where there is no room."""
        if (ranges := self._ranges) is None:
            return self._context.restore_sequence(seq_id, copy[0])
        pieces = zip(self._pieces(length), copy, strict=True)
        is_done = all(ranges.restore(seq_id, state, start, end) for (start, end), state in pieces)
        if not is_done:
            self._context.remove_sequence(seq_id)
        return is_done

    def in_cells(self, seq_id: int, keys: list[int], usage: Usage) -> RestingSequence:
        """Tell of a sequence in cells."""

        def piece(start: int, end: int) -> State | None:
            return None if self._ranges is None else self._ranges.save(seq_id, start, end)

        return RestingSequence(keys, usage.num_reused, piece)

    def in_copy(self, sequence: OffloadedSequence) -> RestingSequence:
        """Tell of a sequence of which there is a copy alone."""
        found = self._pieces(len(sequence.keys)) if self._ranges is not None else ()
        pieces = dict(zip(found, sequence.copy, strict=False))
        return RestingSequence(
            sequence.keys, sequence.usage.num_reused, lambda start, end: pieces.get((start, end))
        )

    def _pieces(self, length: int) -> Iterator[tuple[int, int]]:
        for start in range(0, length, self._piece_size):
            yield start, min(start + self._piece_size, length)
