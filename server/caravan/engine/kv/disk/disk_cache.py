"""The cache on the disk as the engine's thread sees it: questions are answered from memory, and whatever
waits for the disk is done by two threads, one that reads and one that writes.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from caravan.config.engine_config import DISK_AHEAD_BYTES, DISK_PENDING_BYTES
from caravan.engine.kv.disk.chunk_index import ChunkIndex
from caravan.engine.kv.disk.chunks import CHUNK_SIZE, Chunk
from caravan.engine.kv.disk.folder import Body, ChunkFolder

log = logging.getLogger(__name__)

# Chunks that are read before they are asked for, and bytes that wait to be written.
_NUM_AHEAD = 3
_MAX_PENDING_BYTES = DISK_PENDING_BYTES
# Bytes that are read ahead for all texts together; what is larger comes alone.
_MAX_AHEAD_BYTES = DISK_AHEAD_BYTES
# A disk that takes longer over a chunk is not waited for; for a large one, as much longer as with so many
# bytes a second.
_PATIENCE_SECONDS = 5.0
_SLOWEST = 100e6


class DiskCounts(NamedTuple):
    """What is on the disk of all models, what was written and read here, and files that were not sound."""

    num_bytes: int = 0
    num_written_tokens: int = 0
    num_read_tokens: int = 0
    num_bad_files: int = 0


class Piece(NamedTuple):
    """What the cells of a chunk held, of which those up to position `end` are wanted."""

    chunk: Chunk
    end: int
    body: Body


class Reading:
    """The chunks of a text on their way from the disk, a few at a time. Belongs to the engine's thread."""

    def __init__(self, cache: "DiskCache", chunks: Sequence[Chunk], end: int) -> None:
        self._cache = cache
        self._chunks = deque(chunks)
        self._end = end
        self._coming: deque[tuple[Chunk, Future[Body | None]]] = deque()
        self._fill()

    @property
    def is_over(self) -> bool:
        """Whether all is read, or what follows cannot be."""
        return not (self._coming or self._chunks) or self._cache.is_stuck

    def take(self) -> Piece | None:
        """Take the next piece, if it is there; after one that could not be read, nothing comes."""
        self._fill()
        if not self._coming or not self._coming[0][1].done():
            return None
        chunk, future = self._coming.popleft()
        self._cache.let_go(chunk)
        body = future.result()
        if body is None:
            self.stop()
            return None
        self._fill()
        return Piece(chunk, min(chunk.end, self._end), body)

    def wait(self, seconds: float) -> bool:
        """Wait for the next piece, at most so long; False at once where others are to be read first."""
        if self._coming:
            wait([self._coming[0][1]], seconds)
        return bool(self._coming)

    def stop(self) -> None:
        """Read no more."""
        self._chunks.clear()
        for chunk, future in self._coming:
            future.cancel()
            self._cache.let_go(chunk)
        self._coming.clear()

    def _fill(self) -> None:
        while self._chunks and len(self._coming) < _NUM_AHEAD and self._cache.may_read(self._chunks[0]):
            chunk = self._chunks.popleft()
            self._coming.append((chunk, self._cache.read(chunk)))


class DiskCache:
    """Prefixes in a folder under `base`, of the model and build that `root` stands for.

    Chunks that begin what not everybody may share are kept only with `keeps_private`; others of before, which
    are there, are removed then. Texts in chunks that are WHOLE are found where the whole of them begins what
    is asked for. Raises OSError over a folder that cannot be used. Close it.
    """

    def __init__(
        self,
        base: Path,
        root: bytes,
        max_bytes: int,
        *,
        keeps_private: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        self.keeps_private = keeps_private
        self.chunk_size = chunk_size
        self._folder = ChunkFolder.open(base, root, max_bytes)
        self._index = ChunkIndex(root, chunk_size)
        self._lock = threading.Lock()
        self._coming: dict[bytes, int] = {}
        self._num_written_tokens = 0
        self._num_read_tokens = 0
        self._is_closed = False
        self._reading_until: float | None = None
        self._num_ahead_bytes = 0
        chunks = {head.chunk.name: head.chunk for head in self._folder.heads()}
        private = [] if keeps_private else [name for name, chunk in chunks.items() if chunk.is_marked]
        for name in private:
            del chunks[name]
        self._folder.remove([*private, *self._index.add_all(chunks.values())])
        self._reader = ThreadPoolExecutor(1, "disk reader")
        self._writer = ThreadPoolExecutor(1, "disk writer")

    @property
    def counts(self) -> DiskCounts:
        """The numbers of this moment."""
        folder = self._folder
        return DiskCounts(
            folder.num_bytes, self._num_written_tokens, self._num_read_tokens, folder.num_bad_files
        )

    @property
    def is_stuck(self) -> bool:
        """Whether the disk does not come to an end with a chunk that is to be read."""
        until = self._reading_until
        return until is not None and time.monotonic() > until

    @property
    def is_writing(self) -> bool:
        """Whether something has not come to its end on the disk yet."""
        return bool(self._coming)

    @property
    def is_refusing(self) -> bool:
        """Whether the disk has failed, or was full of what was used later, and has written nothing since."""
        return self._folder.is_failing or self._folder.is_full

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that no more should come."""
        with self._lock:
            return sum(self._coming.values()) >= _MAX_PENDING_BYTES

    def num_known(self, keys: Sequence[int]) -> int:
        """Count the keys of a text, from the first, that can be had from the disk."""
        if self.is_stuck:
            return 0
        with self._lock:
            return self._index.match(keys).length

    def fetch(self, keys: Sequence[int], start: int) -> Reading:
        """Begin to read what there is of a text from position `start` on."""
        with self._lock:
            found = self._index.match(keys)
        self._writer.submit(self._folder.touch, [chunk.name for chunk in found.chunks])
        wanted = [chunk for chunk in found.chunks if chunk.end > start]
        return Reading(self, wanted, found.length)

    def may_read(self, chunk: Chunk) -> bool:
        """Tell whether there is room to read a chunk ahead."""
        return not self._num_ahead_bytes or self._num_ahead_bytes + chunk.num_bytes <= _MAX_AHEAD_BYTES

    def read(self, chunk: Chunk) -> "Future[Body | None]":
        """Read a chunk; None where that cannot be done. One that is not sound is known no longer then. To be
        `let_go`.
        """
        self._num_ahead_bytes += chunk.num_bytes
        return self._reader.submit(self._read, chunk)

    def let_go(self, chunk: Chunk) -> None:
        """Have the room of a chunk that was read, or is wanted no longer."""
        self._num_ahead_bytes -= chunk.num_bytes

    def missing(self, keys: Sequence[int]) -> list[Chunk]:
        """List the chunks of a text that are not on the disk, nor on their way there, in their order."""
        with self._lock:
            return [chunk for chunk in self._index.missing(keys) if chunk.name not in self._coming]

    def touch(self, keys: Sequence[int], used: int | None = None) -> None:
        """Note when a text was used (`time.time_ns`; now), so that others go first when room is short."""
        with self._lock:
            names = self._index.known(keys)
        if names:
            self._writer.submit(self._folder.touch, names, used)

    def write(self, chunk: Chunk, body: Body, used: int | None = None) -> None:
        """Have a chunk written, after those that it follows on; `used` is as for `touch`. `body` is not to be
        changed any more.
        """
        with self._lock:
            self._coming[chunk.name] = len(body)
        self._writer.submit(self._write, replace(chunk, num_bytes=len(body)), body, used)

    def discard(self, chunk: Chunk) -> None:
        """Forget a chunk that cells cannot be filled with, and remove it."""
        self._writer.submit(self._discard, chunk)

    def drain(self, seconds: float) -> bool:
        """Wait until all is written, at most so long; whether it is."""
        try:
            self._writer.submit(int).result(seconds)
        except TimeoutError:
            return False
        return True

    def close(self, seconds: float = 0.0) -> None:
        """Wait so long for what is being written, and give up the rest; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self.drain(seconds)
        for threads in (self._reader, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, chunk: Chunk) -> Body | None:
        self._reading_until = time.monotonic() + _PATIENCE_SECONDS + chunk.num_bytes / _SLOWEST
        try:
            body = self._folder.read(chunk.name)
        except OSError:
            # It has been told. The file stays, for when it can be read; whoever waits for it computes it.
            return None
        except Exception:
            # Too little memory, most likely.
            log.exception("a prefix cannot be read from the disk")
            return None
        finally:
            self._reading_until = None
        if body is None:
            self._discard(chunk)
        else:
            self._num_read_tokens += chunk.count
        return body

    def _discard(self, chunk: Chunk) -> None:
        with self._lock:
            gone = self._index.drop(chunk.name)
        self._folder.remove(gone)

    def _write(self, chunk: Chunk, body: Body, used: int | None) -> None:
        is_written = False
        try:
            with self._lock:
                has_place = self._index.has_place_for(chunk)
            is_written = has_place and self._folder.write(chunk, body, used)
        except Exception:
            log.exception("a prefix cannot be written to the disk")
        finally:
            with self._lock:
                del self._coming[chunk.name]
                useless = self._index.add(chunk) if is_written else []
                for name in self._folder.take_evicted():
                    useless += self._index.drop(name)
        self._folder.remove(useless)
        self._num_written_tokens += chunk.count if chunk.name in self._index else 0
