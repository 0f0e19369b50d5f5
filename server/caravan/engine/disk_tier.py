"""Between the cells and the disk: fills sequences with what was computed once, and has written what rests.

Whatever waits for a disk is done elsewhere (`caravan.engine.kv.disk`). What is done here copies a chunk of
cells at a time, on the engine's thread, or a text where memory cannot be cut, and nothing longer.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator

from caravan.config.engine_config import DISK_CLOSE_SECONDS
from caravan.engine.interfaces import DecodingContext
from caravan.engine.kv.disk.chunks import Chunk
from caravan.engine.kv.disk.disk_cache import DiskCache, DiskCounts, Piece
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import num_lasting
from caravan.engine.kv.sequence_copies import RestingSequence
from caravan.engine.sequence import Sequence
from caravan.llama.context import State

log = logging.getLogger(__name__)

# So many tokens, and this share of what is on the disk, have to be spared: a few are quicker computed.
_MIN_FETCHED = 32
_FETCHED_SHARE = 1 / 16
# Shorter texts are not worth a file.
_MIN_WRITTEN = 64
# What chunks may take of a step; one is copied in any case.
_STEP_SECONDS = 0.02
# How long a step waits for the disk where it has nothing else to do.
_WAIT_SECONDS = 0.005
# After so long without work, what was used more than once is written; after so long again, all that rests.
# So a server that is asked something new every few seconds does not write all of it.
REUSED_SECONDS = 2.0
REST_SECONDS = 30.0
# Of texts that rest, one counts as used so much before another that was used later.
_TEXT_NANOSECONDS = 1_000_000
# How long to wait for the disk to catch up.
_PAUSE_SECONDS = 0.05


class DiskTier:
    """One engine's door to its cache on the disk; without one, it does nothing. One thread only.

    `tell` is called while the engine rests, when `counts` are others.
    """

    def __init__(
        self,
        context: DecodingContext,
        kv_cache: KVCache,
        disk: DiskCache | None,
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell = tell
        self._ranges = context.ranges
        self._kv_cache = kv_cache
        self._is_whole = self._ranges is not None and self._ranges.is_whole
        self._disk = disk if self._ranges is not None else None

    @property
    def counts(self) -> DiskCounts:
        """What was written, read and found."""
        return DiskCounts() if self._disk is None else self._disk.counts

    def begin(self, sequence: Sequence) -> None:
        """Begin to fill a sequence that has just got memory, where the disk has more of its prompt."""
        if self._disk is None:
            return
        keys = sequence.scope.keys(sequence.matchable_tokens[:-1])
        if sequence.media:
            keys = keys[: sequence.media[0].start]
        start, known = sequence.num_computed_tokens, self._disk.num_known(keys)
        if known - start >= max(_MIN_FETCHED, _FETCHED_SHARE * known):
            sequence.filling = self._disk.fetch(keys, start)

    def fill(self, running: Collection[Sequence]) -> None:
        """Give sequences what has come from the disk, a step's share of it, the oldest first; where all of
        those whose turn it is are being filled, wait a moment for something to come.
        """
        filled = [(sequence, sequence.filling) for sequence in running if sequence.filling is not None]
        # Background work waits for those, too.
        live = [sequence for sequence in running if not sequence.is_background] or running
        readings = [sequence.filling for sequence in live if sequence.filling is not None]
        if len(readings) == len(live):
            any(reading.wait(_WAIT_SECONDS) for reading in readings)
        end = time.perf_counter() + _STEP_SECONDS
        for sequence, reading in filled:
            while (piece := reading.take()) is not None:
                if not self._restore(sequence, piece):
                    reading.stop()
                if time.perf_counter() >= end:
                    break
            if reading.is_over:
                reading.stop()
                sequence.filling = None
            if time.perf_counter() >= end:
                break

    def rest(self) -> Iterator[float]:
        """Have written what rests, a chunk after each pause; yields the pauses, in seconds.

        To be given up as soon as there is work.
        """
        if self._disk is None:
            return
        for seconds, reused_alone in ((REUSED_SECONDS, True), (REST_SECONDS, False)):
            yield seconds
            yield from self._written(self._disk, reused_alone=reused_alone)
            while self._disk.is_writing:
                yield _PAUSE_SECONDS
            self._tell()

    def close(self, *, is_sound: bool) -> None:
        """Have written what rests, if cells can be trusted, and let the disk go."""
        if self._disk is None:
            return
        deadline = time.monotonic() + DISK_CLOSE_SECONDS
        for pause in self._written(self._disk) if is_sound else ():
            if time.monotonic() > deadline:
                break
            time.sleep(pause)
        self._disk.close(max(0.0, deadline - time.monotonic()))

    def _restore(self, sequence: Sequence, piece: Piece) -> bool:
        """Fill the next cells of a sequence with a piece; whether there was room, and the piece is sound."""
        assert self._ranges is not None
        assert self._disk is not None
        assert sequence.seq_id is not None
        start = 0 if self._is_whole else sequence.num_computed_tokens
        if start < sequence.num_computed_tokens:
            self._kv_cache.restart(sequence.seq_id)
            sequence.fill(0, 0)
        while self._kv_cache.num_free_cells() < piece.chunk.count or not self._kv_cache.windows.fit_beside(
            piece.end
        ):
            if not self._kv_cache.evict_one():
                return False
        if not self._ranges.restore(sequence.seq_id, piece.body, start, piece.end):
            self._disk.discard(piece.chunk)
            return False
        self._kv_cache.commit(sequence.seq_id, sequence.token_ids[start : piece.end])
        # The next who begin with this text may go another way.
        self._kv_cache.checkpoints.take(sequence.seq_id)
        sequence.fill(start, piece.end)
        return True

    def _written(self, disk: DiskCache, *, reused_alone: bool = False) -> Iterator[float]:
        """Hand chunks to the disk, one after each pause that is yielded. Raises nothing."""
        try:
            for missing in self._unwritten(disk, reused_alone=reused_alone):
                if missing is not None:
                    disk.write(*missing)
                yield 0.0
                if missing is None:
                    continue
                # A disk that has taken nothing lately is tried with one chunk.
                while disk.is_behind or (disk.is_refusing and disk.is_writing):
                    yield _PAUSE_SECONDS
                if disk.is_refusing:
                    return
        except MemoryError:
            log.warning("there is too little memory to copy prefixes for the disk")
        except Exception:
            log.exception("prefixes cannot be written to the disk")

    def _unwritten(self, disk: DiskCache, *, reused_alone: bool) -> Iterator[tuple[Chunk, State, int] | None]:
        """Yield what is missing of what rests, what was used last first, and when that was, in that order;
        before each text None, as looking through a long one takes its time.
        """
        began = time.time_ns()
        for number, resting in enumerate(self._kv_cache.resting()):
            yield None
            keys = resting.keys
            num_wanted = num_lasting(keys, with_private=disk.keeps_private)
            if reused_alone:
                num_wanted = min(num_wanted, self._num_reused(resting))
            if num_wanted < _MIN_WRITTEN or (self._is_whole and num_wanted < len(keys)):
                continue
            keys = keys[:num_wanted]
            used = began - number * _TEXT_NANOSECONDS
            disk.touch(keys, used)
            for chunk in disk.missing(keys):
                body = resting.piece(chunk.start, chunk.end)
                if body is None:
                    break
                yield chunk, body, used

    def _num_reused(self, resting: RestingSequence) -> int:
        """Count the keys that were used more than once; of what cannot be cut, all are, or none."""
        return len(resting.keys) if self._is_whole and resting.num_reused else resting.num_reused
