"""A model's encoder: its process, what waits for it, and what is kept of its work."""

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from caravan.engine.media.values import SharedEmbeddings
from caravan.media import wire
from caravan.media.embedding_cache import CacheKey, EmbeddingCache
from caravan.media.encoder_process import EncoderConfig, EncoderProcess, LostError, NotOpenedError
from caravan.media.memory_files import MemoryFolder, remove
from caravan.media.values import (
    EncodedMedia,
    EncodedRun,
    Kind,
    MediaBusyError,
    MediaFailedError,
    MediaInput,
    MediaRefusedError,
)
from caravan.runtime.threads import FairLimiter, cancel_and_wait, in_thread, to_the_end

log = logging.getLogger(__name__)

# What waits has its bytes in memory. One key leaves room for others.
_MOST_WAITING = 64
_MOST_OF_OWNER = 48
_MOST_WAITING_BYTES = 512 << 20
# All that requests hold, and the cache, in sizes of the cache.
_MOST_HELD = 4
_SHARE_OF_OWNER = 0.75
# Smaller inputs are hashed where they are.
_LARGE = 256 << 10


class EncoderStartError(Exception):
    """The projector cannot be used; one line."""


@dataclass(eq=False)
class _Work:
    """An input that is encoded, or waits for that, and how many want it.

    `owner` came first with it, and has a share by `weight`.
    """

    key: CacheKey
    num_bytes: int
    owner: str
    weight: float
    task: "asyncio.Task[EncodedMedia]" = field(init=False)
    num_waiting: int = 0
    has_begun: bool = False


class EncoderClient:
    """The encoder of one model. Belongs to the event loop.

    One input is encoded at a time, and keys take turns. Who sends what is being encoded waits for that.
    """

    def __init__(self, config: EncoderConfig) -> None:
        self._config = config
        self._turns = FairLimiter(1)
        self._cache = EmbeddingCache(config.cache_bytes)
        self._works: dict[CacheKey, _Work] = {}
        self._waiting: Counter[str] = Counter()
        self._waiting_bytes = 0
        self._held_bytes = 0
        self._held_by: Counter[str] = Counter()
        self._process: EncoderProcess | None = None
        self._loading: asyncio.Task[EncoderProcess] | None = None
        self._folder: MemoryFolder | None = None
        self._is_closed = False
        self.modalities: frozenset[Kind] = frozenset()

    @property
    def pid(self) -> int | None:
        """Its process; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def held_bytes(self) -> int:
        """Bytes of all embeddings that somebody holds, the cache too."""
        return self._held_bytes

    @property
    def num_waiting(self) -> int:
        """Inputs that have not been encoded yet, with those that are being."""
        return self._waiting.total()

    @property
    def num_begun(self) -> int:
        """Of those, whom the process has been asked for: one, or none."""
        return sum(work.has_begun for work in self._works.values())

    async def start(self) -> None:
        """Load the projector. Raises EncoderStartError."""
        try:
            self._folder = await in_thread(MemoryFolder, _MOST_HELD * self._config.cache_bytes)
            self._loading = asyncio.create_task(in_thread(self._running), name="load a projector")
            # If it is cancelled, to close it ends the load, too.
            process = await asyncio.shield(self._loading)
        except (LostError, OSError) as error:
            await self.close()
            raise EncoderStartError(str(error)) from error
        except BaseException:
            await to_the_end(self.close())
            raise
        self.modalities = frozenset(kind for kind in _KINDS if kind in process.modalities)

    async def read(
        self, media: MediaInput, *, group: str, param: str, owner: str = "", weight: float = 1.0
    ) -> EncodedMedia:
        """See `MediaEncoder`."""
        if media.kind not in self.modalities:
            raise MediaRefusedError(f"is of a kind that the model does not take ({media.kind})")
        digest = await in_thread(_digest, media.data) if len(media.data) > _LARGE else _digest(media.data)
        key = CacheKey(group, media.kind, "low" if media.detail == "low" else "auto", digest)
        if (found := self._cache.find(key)) is not None:
            return found
        work = self._works.get(key) or self._begin(_Work(key, len(media.data), owner, weight), media, param)
        work.num_waiting += 1
        try:
            return await asyncio.shield(work.task)
        except asyncio.CancelledError as error:
            asking = asyncio.current_task()
            if work.task.cancelled() and not (asking is not None and asking.cancelling()):
                raise MediaFailedError("the model is being unloaded") from error
            self._leave(work)
            raise

    async def close(self) -> None:
        """End the process, give up what waits, and free all embeddings."""
        self._is_closed = True
        if self._process is not None:
            self._process.kill()
        await to_the_end(_given_up([self._loading, *(work.task for work in self._works.values())]))
        self._cache.clear()
        if self._process is not None:
            await in_thread(self._process.end)
            self._process = None
        if self._folder is not None:
            await in_thread(self._folder.close)

    def _begin(self, work: _Work, media: MediaInput, param: str) -> _Work:
        self._check_room(work.owner, work.num_bytes)
        self._works[work.key] = work
        self._waiting[work.owner] += 1
        self._waiting_bytes += work.num_bytes
        work.task = asyncio.create_task(self._work(work, media, param), name="encode")
        work.task.add_done_callback(lambda _: self._ended(work))
        return work

    def _check_room(self, owner: str, num_bytes: int) -> None:
        """Raise MediaBusyError where the input cannot wait, too."""
        if self._is_closed:
            raise MediaFailedError("the model is being unloaded")
        if self._waiting.total() >= _MOST_WAITING or self._waiting[owner] >= _MOST_OF_OWNER:
            raise MediaBusyError(f"{self._waiting.total()} images wait to be read")
        if self._waiting_bytes and self._waiting_bytes + num_bytes > _MOST_WAITING_BYTES:
            raise MediaBusyError("the images that wait to be read are too large together")
        if self._holds_too_much(owner):
            # What requests hold goes as they end; what the cache holds can go at once.
            self._cache.shrink(0)
            if self._holds_too_much(owner):
                raise MediaBusyError("requests that run hold too many images (--media-cache-bytes)")

    def _holds_too_much(self, owner: str) -> bool:
        """Whether there is no room for more embeddings: of all, or of an owner, who leaves others some."""
        most = _MOST_HELD * self._config.cache_bytes
        return self._held_bytes > most or self._held_by[owner] > most * _SHARE_OF_OWNER

    def _ended(self, work: _Work) -> None:
        self._waiting_bytes -= work.num_bytes
        self._waiting[work.owner] -= 1
        if not self._waiting[work.owner]:
            del self._waiting[work.owner]
        self._forget(work)
        if not work.task.cancelled():
            # Nobody may be left who asks what it failed with.
            work.task.exception()

    def _forget(self, work: _Work) -> None:
        """Have whoever comes from here on find it in the cache, or begin anew."""
        if self._works.get(work.key) is work:
            del self._works[work.key]

    def _leave(self, work: _Work) -> None:
        """One who waited has gone: what nobody waits for is not begun, and what is ready is let go."""
        if not work.task.done():
            work.num_waiting -= 1
            if not work.num_waiting and not work.has_begun:
                self._forget(work)
                work.task.cancel()
        elif not work.task.cancelled() and work.task.exception() is None:
            work.task.result().release()

    async def _work(self, work: _Work, media: MediaInput, param: str) -> EncodedMedia:
        """Encode an input; the result is held once for each who waits, and by the cache."""
        assert self._folder is not None
        path = self._folder.new_path()

        def ask() -> wire.FromEncoder:
            work.has_begun = True
            # What was there when this came has grown by what others waited for.
            if self._holds_too_much(work.owner):
                raise MediaBusyError("requests that run hold too many images (--media-cache-bytes)")
            request = wire.Read(kind=media.kind, detail=work.key.detail, data=media.data, path=path)
            return self._running().ask(request)

        turn = self._turns.held(work.owner, work.weight)
        try:
            answer = _successful(await in_thread(ask, limiter=turn))
        except (LostError, OSError) as error:
            remove(path)
            log.error("the encoder failed over %s: %s", param, error)
            # Of what is not the image's doing, the words have paths of this machine in them.
            is_ours = isinstance(error, NotOpenedError | OSError)
            raise MediaFailedError("the encoder cannot be started" if is_ours else str(error)) from error
        except BaseException:
            remove(path)
            raise
        finally:
            self._forget(work)
        encoded = self._encoded(answer, path, work.owner)
        for _ in range(work.num_waiting):
            encoded.hold()
        self._cache.add(work.key, encoded, answer.num_bytes)
        return encoded

    def _encoded(self, answer: wire.Encoded, path: str, owner: str) -> EncodedMedia:
        self._held_bytes += answer.num_bytes
        self._held_by[owner] += answer.num_bytes

        def free() -> None:
            self._held_bytes -= answer.num_bytes
            self._held_by[owner] -= answer.num_bytes
            if not self._held_by[owner]:
                del self._held_by[owner]
            remove(path)

        chunks = [chunk if isinstance(chunk, tuple) else _run(chunk, path) for chunk in answer.chunks]
        return EncodedMedia(chunks=tuple(chunks), on_release=free)

    def _running(self) -> EncoderProcess:
        """The process, started if there is none that lives. In a thread, one at a time."""
        process = self._process
        if process is not None and process.is_alive:
            return process
        if process is not None:
            log.warning("the encoder's process is gone, and is started anew")
            process.end()
            self._process = None
        # Whoever closes it meanwhile sees it, or is seen here.
        self._process = process = EncoderProcess(self._config)
        if self._is_closed:
            process.end()
            raise LostError("the model is being unloaded")
        process.open()
        return process


_KINDS: tuple[Kind, ...] = ("image", "audio")


async def _given_up(tasks: Sequence[asyncio.Task[Any] | None]) -> None:
    for task in filter(None, tasks):
        with contextlib.suppress(Exception):
            await cancel_and_wait(task)


def _successful(answer: wire.FromEncoder) -> wire.Encoded:
    if isinstance(answer, wire.Encoded):
        return answer
    if isinstance(answer, wire.Refused):
        raise MediaRefusedError(answer.message)
    raise MediaFailedError(answer.message if isinstance(answer, wire.Failed) else "it was not understood")


def _run(run: wire.Run, path: str) -> EncodedRun:
    embeddings = SharedEmbeddings(path=path, offset=run.offset, rows=run.num_cells, width=run.width)
    return EncodedRun(
        num_cells=run.num_cells,
        num_positions=run.num_positions,
        key=run.key,
        is_causal=run.is_causal,
        positions=run.positions,
        embeddings=embeddings,
    )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
