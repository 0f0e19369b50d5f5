"""An exact stand-in for the llama layer: mistakes in copying, cutting or batching change the text."""

import hashlib
import string
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from caravan.engine.embedding.embedder import Embedder
from caravan.engine.params import AdapterSet
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus, State
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.media_batch import MediaBatch
from numpy.typing import NDArray

END_OF_GENERATION = 256
VOCAB_SIZE = 257


@dataclass
class FakeContext:
    """Sequences as lists of tokens over counted cells; logits depend on all that a sequence can see.

    Without `can_cut` a sequence has a state besides, that of its end. With `keeps_windows` each loses what
    its next token would not see as soon as it can; `num_window_cells` bounds what it and the others keep.
    Both can be saved with `can_checkpoint`; with `is_all_state`, that is all there is.
    """

    num_cells: int = 4096
    max_sequences: int = 16
    can_cut: bool = True
    vocab_size: int = VOCAB_SIZE
    sliding_window: int = 0
    can_checkpoint: bool = False
    is_all_state: bool = False
    keeps_windows: bool = False
    num_window_cells: int = 0
    end_weight: float = 1.0
    fail_next: bool = False
    num_decoded: int = 0
    num_rows: int = 0
    most_rows: int = 0
    num_stopped: int = 0
    # what it takes in the place of tokens, and how many cells at once
    media_width: int = 4
    num_position_parts: int = 1
    media_sizes: list[int] = field(default_factory=list)
    # sequence id -> the cells it holds, in order; a cell is its token and its number
    cells: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    # sequence id -> the tokens that have made its state
    states: dict[int, list[int]] = field(default_factory=dict)
    # sequence id -> the first position that its window still has
    firsts: dict[int, int] = field(default_factory=dict)
    num_saved: int = 0
    # what it computes with now; a cell's token tells what it was computed with
    adapters: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    lora: AdapterSet = ()
    sets: list[AdapterSet] = field(default_factory=list)
    # numbers of threads that were asked for
    num_threads: list[int] = field(default_factory=list)
    _rows: list[NDArray[np.float32]] = field(default_factory=list)
    _next_cell: int = 0

    # As with the library of `make`; `either_attention` tries the other, too.
    attention_has_tiles: ClassVar[bool] = False

    @property
    def has_tiles(self) -> bool:
        return self.can_cut and self.attention_has_tiles

    @property
    def can_change_threads(self) -> bool:
        return True

    def compute_with(self, num_threads: int) -> None:
        self.num_threads.append(num_threads)

    @property
    def can_offload(self) -> bool:
        has_cells = self.can_cut or (self.can_checkpoint and not self.is_all_state)
        return has_cells and not self.sliding_window

    @property
    def ranges(self) -> "FakeRanges":
        return FakeRanges(self)

    @property
    def partial(self) -> "FakePartialStates | None":
        return FakePartialStates(self) if self.can_checkpoint else None

    @property
    def num_cells_used(self) -> int:
        return len({number for run in self.cells.values() for _, number in run})

    def use_adapters(self, lora: AdapterSet) -> None:
        self.lora = lora
        if not self.sets or self.sets[-1] != lora:
            self.sets.append(lora)

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        if self.fail_next:
            self.fail_next = False
            return DecodeStatus.FAILED
        count = batch.num_tokens
        assert 0 < count <= batch.capacity
        has_windows = self.has_windows_for(count, beside=batch.capacity)
        if not has_windows or self.num_cells_used + count > self.num_cells:
            return DecodeStatus.NO_ROOM
        self._rows = []
        for i in range(count):
            run = self.cells.setdefault(int(batch.seq_ids[i]), [])
            assert batch.positions[i] == len(run), "positions must follow on"
            token = int(batch.token_ids[i]) | self._mark()
            self._advance(int(batch.seq_ids[i]), run, token)
            run.append((token, self._next_cell))
            self._next_cell += 1
            if unless is not None and unless():
                self.num_stopped += 1
                return DecodeStatus.STOPPED
            if batch.wants_logits[i]:
                self._rows.append(self._row([token for token, _ in run]))
        self.num_decoded += count
        self.num_rows += len(self._rows)
        self.most_rows = max(self.most_rows, len(self._rows))
        return DecodeStatus.OK

    def decode_media(self, batch: MediaBatch) -> DecodeStatus:
        batch.check(10**6, self.media_width, self.num_position_parts, self.max_sequences)
        if self.num_cells_used + batch.num_cells > self.num_cells:
            return DecodeStatus.NO_ROOM
        run = self.cells.setdefault(batch.seq_id, [])
        self._check_positions(batch, len(run))
        whole = b"" if batch.is_causal else batch.embeddings.tobytes()
        self._rows = []
        for row in batch.embeddings:
            # Bits of no token, and of no adapter.
            token = 1 << 30 | zlib.crc32(row.tobytes() + whole) & 0xFFFF | self._mark()
            self._advance(batch.seq_id, run, token)
            run.append((token, self._next_cell))
            self._next_cell += 1
        if batch.num_outputs:
            self._rows.append(self._row([token for token, _ in run]))
        self.num_decoded += batch.num_cells
        self.media_sizes.append(batch.num_cells)
        return DecodeStatus.OK

    def _check_positions(self, batch: MediaBatch, length: int) -> None:
        assert batch.positions[0].tolist() == list(range(length, length + batch.num_cells))
        start, count = batch.place.start, batch.place.num_cells
        assert start <= length < length + batch.num_cells <= start + count
        assert batch.is_causal or batch.num_cells == count, "half of an image"

    def logits(self) -> NDArray[np.float32]:
        return np.stack(self._rows) if self._rows else np.empty((0, self.vocab_size), np.float32)

    def _advance(self, seq_id: int, before: list[tuple[int, int]], token: int) -> None:
        """What a token does to state and window; both have to be those of the tokens before."""
        if not self.can_cut:
            state = self.states.setdefault(seq_id, [])
            assert state == [known for known, _ in before], "a state of other tokens"
            state.append(token)
        first = self.firsts.get(seq_id, 0)
        assert first <= self._first_seen(len(before)), "a window that has moved on"
        self.firsts[seq_id] = max(first, self._first_seen(len(before) + 1))

    def has_windows_for(self, count: int, beside: int = 0) -> bool:
        """Whether so many cells are free for windows, `beside` of them for a batch."""
        used = sum(min(len(run), self.sliding_window) for run in self.cells.values())
        return not self.num_window_cells or used + count <= self.num_window_cells + beside

    def _first_seen(self, position: int) -> int:
        return max(0, position - self.sliding_window + 1) if self.keeps_windows else 0

    def copy_sequence(self, source: int, target: int, length: int | None) -> None:
        assert not self.cells.get(target), "the target must be empty"
        assert length is None or self.can_cut
        run = self.cells[source]
        assert length is None or length <= len(run)
        assert self.has_windows_for(min(self.sliding_window, len(run) if length is None else length))
        self.cells[target] = list(run[:length])
        self.states[target] = list(self.states.get(source, ()))
        self.firsts[target] = self.firsts.get(source, 0)

    def share_prefix(self, source: int, target: int, length: int) -> None:
        assert self.can_cut
        shared, own = self.cells[source][:length], self.cells[target]
        assert [token for token, _ in shared] == [token for token, _ in own[:length]]
        self.cells[target] = shared + own[length:]

    def save_sequence(self, seq_id: int) -> State:
        assert self.can_offload
        tokens = [token for token, _ in self.cells[seq_id]]
        # With a state that is as large.
        return np.array(tokens * (1 if self.can_cut else 2), np.int32).view(np.uint8)

    def restore_sequence(self, seq_id: int, state: State) -> bool:
        assert not self.cells.get(seq_id), "the target must be empty"
        tokens = state.view(np.int32).tolist()
        tokens = tokens[: len(tokens) if self.can_cut else len(tokens) // 2]
        if self.num_cells_used + len(tokens) > self.num_cells:
            return False
        self.add_cells(seq_id, tokens)
        return True

    def add_cells(self, seq_id: int, tokens: list[int]) -> None:
        """What else than a decode makes of the next free cells."""
        run = self.cells.setdefault(seq_id, [])
        run += [(token, self._next_cell + i) for i, token in enumerate(tokens)]
        self._next_cell += len(tokens)
        self.come_to_end(seq_id)

    def come_to_end(self, seq_id: int) -> None:
        """Have state and window of a sequence be those of all its tokens."""
        run = self.cells[seq_id]
        self.states[seq_id] = [token for token, _ in run]
        self.firsts[seq_id] = self._first_seen(len(run))

    def truncate_sequence(self, seq_id: int, length: int) -> None:
        assert self.can_cut
        if seq_id in self.cells:
            self.cells[seq_id] = self.cells[seq_id][:length]

    def remove_sequence(self, seq_id: int) -> None:
        for held in (self.cells, self.states, self.firsts):
            held.pop(seq_id, None)

    def min_position(self, seq_id: int) -> int:
        return self.firsts.get(seq_id, 0) if self.cells.get(seq_id) else -1

    def clear(self) -> None:
        for held in (self.cells, self.states, self.firsts):
            held.clear()

    def _mark(self) -> int:
        return (zlib.crc32(repr(self.lora).encode()) & 0x7FFF) << 16 if self.lora else 0

    def _row(self, tokens: list[int]) -> NDArray[np.float32]:
        digest = hashlib.blake2b(repr(tokens).encode(), digest_size=8).digest()
        rng = np.random.default_rng(int.from_bytes(digest, "little"))
        row = (3 * rng.standard_normal(self.vocab_size)).astype(np.float32)
        row[END_OF_GENERATION] *= self.end_weight
        return row


@dataclass
class FakeRanges:
    """Ranges of tokens; those that do not begin with their first position cannot be read."""

    context: FakeContext

    @property
    def is_whole(self) -> bool:
        return not self.context.can_cut or self.context.sliding_window > 0

    def save(self, seq_id: int, start: int, end: int) -> State:
        run = self.context.cells[seq_id]
        assert not self.is_whole or (start, end) == (0, len(run))
        tokens = [token for token, _ in run[start:end]]
        assert len(tokens) == end - start
        return np.array([start, *tokens], np.int32).view(np.uint8)

    def restore(self, seq_id: int, state: State, start: int, end: int) -> bool:
        first, *tokens = state.view(np.int32).tolist()
        assert len(self.context.cells.get(seq_id, [])) == start
        assert not self.is_whole or (start, end) == (0, len(tokens))
        if not first <= start < end <= first + len(tokens):
            return False
        if self.context.num_cells_used + len(tokens) > self.context.num_cells:
            return False
        if not self.context.has_windows_for(min(self.context.sliding_window, end)):
            return False
        self.context.add_cells(seq_id, tokens[start - first : end - first])
        return True


@dataclass
class FakePartialStates:
    """What sequences lose by going on; a state of other tokens is refused."""

    context: FakeContext

    @property
    def is_all(self) -> bool:
        return self.context.is_all_state

    def save(self, seq_id: int) -> State:
        self.context.num_saved += 1
        tokens = [token for token, _ in self.context.cells[seq_id]]
        return np.array(tokens, np.int32).view(np.uint8)

    def fork(self, source: int | None, target: int, length: int, state: State) -> bool:
        context = self.context
        assert not context.cells.get(target), "the target must be empty"
        if source is None:
            assert self.is_all
            context.add_cells(target, state.view(np.int32).tolist())
        else:
            assert context.has_windows_for(min(context.sliding_window, length))
            context.cells[target] = list(context.cells[source][:length])
        self._restore(target, length, state)
        return True

    def rewind(self, seq_id: int, length: int, state: State) -> bool:
        self.context.cells[seq_id] = self.context.cells[seq_id][:length]
        self._restore(seq_id, length, state)
        return True

    def _restore(self, seq_id: int, length: int, state: State) -> None:
        tokens = state.view(np.int32).tolist()
        assert tokens == [token for token, _ in self.context.cells[seq_id]], "a checkpoint of other tokens"
        assert len(tokens) == length
        self.context.come_to_end(seq_id)


class FakeVocab:
    """Bytes as tokens, printable ones only in the text, and one token that ends generation."""

    size = VOCAB_SIZE
    marker_ids: frozenset[int] = frozenset()

    def token_bytes(self, token_id: int) -> bytes:
        return b"" if token_id == END_OF_GENERATION else bytes([97 + token_id % 26])

    def raw_bytes(self, token_id: int) -> bytes:
        return self.token_bytes(token_id) or b"<end>"

    def spell(self, text: str) -> list[int]:
        return [ord(character) - 97 for character in text if character in string.ascii_lowercase]

    @property
    def end_of_generation_ids(self) -> frozenset[int]:
        return frozenset([END_OF_GENERATION])


def no_embedder() -> Embedder:
    """An embedder for engines that are asked for no vectors."""

    def refuse(num_cells: int) -> EmbeddingContext:
        raise AssertionError(num_cells)

    return Embedder(refuse, lambda _outputs: None, max_length=1, step_seconds=1, is_whole=False)
