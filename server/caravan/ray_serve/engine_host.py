"""An engine as others use it from afar: requests in, frames out, and what it has and does told to a board."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec

from caravan.engine.block_events import BLOCK_SIZE, AllBlocksCleared, BlockEvent, BlocksStored
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import CaravanError
from caravan.ray_serve import wire
from caravan.ray_serve.board import PULSE_SECONDS
from caravan.ray_serve.media import MediaFiles
from caravan.ray_serve.merging import merged
from caravan.ray_serve.routing import num_leading
from caravan.ray_serve.wire import Facts, Load, Route, Update
from caravan.ray_serve.work import WorkMeter

log = logging.getLogger(__name__)

# News that come within this time are told together.
_PAUSE_SECONDS = 0.005
# How long an engine may be away before its replica had better be replaced: a child starts in seconds.
_AWAY_SECONDS = 60.0

Post = Callable[[bytes], Awaitable[int]]


class EngineAwayError(Exception):
    """The engine's process does not come back."""


class EngineHost:
    """All methods belong to one event loop. `post` brings news to the board and returns its epoch."""

    def __init__(self, engine: AsyncEngine, root: bytes, post: Post) -> None:
        self._engine = engine
        self._root = root
        self._post = post
        self._meter = WorkMeter()
        self._media = MediaFiles()
        self._blocks: set[int] = set()
        self._events: list[BlockEvent] = []
        self._taken: list[str] = []
        self._news = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._seen_ready = time.monotonic()

    async def start(self) -> None:
        """Start the engine; raises what `AsyncEngine.start` raises."""
        await self._engine.start()
        self._engine.subscribe_blocks(self._hear, self._root)
        self._telling = asyncio.create_task(self._tell(), name="news for the board")

    async def close(self) -> None:
        """End the engine; requests that still run end as lost."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._engine.close()
        self._media.close()

    def facts(self) -> Facts:
        """What the engine has settled on."""
        engine = self._engine
        return Facts(engine.context_size, engine.max_running, engine.num_places, engine.traits, engine.need)

    def load(self) -> Load:
        """What it has to do, and who has come since the last time."""
        taken, self._taken = tuple(self._taken), []
        return Load(
            waiting_tokens=self._meter.waiting_tokens,
            num_running=self._meter.num_running,
            is_ready=self._engine.is_ready,
            tokens_per_second=self._meter.tokens_per_second,
            stats=self._engine.stats(),
            num_restarts=self._engine.num_restarts,
            taken=taken,
            pids=(os.getpid(), self._engine.pid or 0),
        )

    def work(self) -> dict[str, float]:
        """What scaling is decided by."""
        meter = self._meter
        return {
            "waiting_tokens": meter.waiting_tokens,
            "num_running": meter.num_running,
            "tokens_per_second": meter.tokens_per_second,
            "max_running": self._engine.max_running,
        }

    def check_health(self) -> None:
        """Raise EngineAwayError where the engine's process has not been there for long."""
        if self._engine.is_ready:
            self._seen_ready = time.monotonic()
        if time.monotonic() - self._seen_ready > _AWAY_SECONDS:
            raise EngineAwayError("the engine's process does not come back; its log says why")

    async def generate(self, data: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for text, the last of which may be its failure."""
        unpacked = self._media.unpacked(data)
        # Images are large, and an answer takes long.
        del data
        try:
            async with unpacked as request, contextlib.aclosing(self._frames(request, route)) as frames:
                async for frame in frames:
                    yield frame
        except CaravanError as error:
            yield wire.encode(wire.failed(error))

    async def _frames(self, request: GenerationRequest, route: Route) -> AsyncGenerator[bytes, None]:
        num_known = BLOCK_SIZE * num_leading(route.block_hashes, self._blocks)
        self._meter.begin(request.id, max(1, route.num_tokens - num_known), len(request.indexes))
        self._taken.append(request.id)
        self._news.set()
        try:
            async with contextlib.aclosing(merged(self._engine.generate(request))) as batches:
                async for outputs in batches:
                    self._note(request, outputs)
                    yield wire.encode(wire.Stepped(outputs))
        finally:
            self._meter.end(request.id)
            self._news.set()

    async def embed(self, data: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for vectors, the last of which may be its failure."""
        request = wire.embed_request(data)
        self._meter.begin(request.id, route.num_tokens, 0)
        self._taken.append(request.id)
        self._news.set()
        try:
            async with contextlib.aclosing(merged(self._engine.embed(request))) as batches:
                async for outputs in batches:
                    yield wire.encode(wire.Embedded(outputs))
            self._meter.first_token(request.id, route.num_tokens)
        except CaravanError as error:
            yield wire.encode(wire.failed(error))
        finally:
            self._meter.end(request.id)
            self._news.set()

    def end_thoughts(self, request_id: str, owner: str) -> None:
        """Have a request begin to answer."""
        self._engine.end_thoughts(request_id, owner)

    def _note(self, request: GenerationRequest, outputs: Sequence[TokenOutput]) -> None:
        first = next((output for output in outputs if output.progress is None), None)
        if first is None:
            return
        drawn = max((len(token_ids or ()) for token_ids in request.drawn), default=0)
        num_tokens = len(request.token_ids) + drawn
        self._meter.first_token(request.id, max(0, num_tokens - first.num_cached_tokens))
        self._news.set()

    def _hear(self, events: Sequence[BlockEvent]) -> None:
        """Follow which blocks there are."""
        for event in events:
            if isinstance(event, BlocksStored):
                self._blocks.update(event.block_hashes)
                # Nobody here looks at tokens.
                self._events.append(msgspec.structs.replace(event, token_ids=(), scopes=()))
                continue
            self._events.append(event)
            if isinstance(event, AllBlocksCleared):
                self._blocks.clear()
            else:
                self._blocks.difference_update(event.block_hashes)
        self._news.set()

    async def _tell(self) -> None:
        """Tell the board what is new, and of being there; all anew to a board that does not know this."""
        epoch = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULSE_SECONDS):
                    await self._news.wait()
            self._news.clear()
            try:
                epoch = await self._posted(epoch)
            except Exception as error:
                log.warning("the board does not answer: %r", error)
                epoch = 0
                await asyncio.sleep(PULSE_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _posted(self, epoch: int) -> int:
        """Post the news to a board of this epoch; the epoch of the one that has all of them."""
        events, self._events = tuple(self._events), []
        load = self.load()
        if epoch:
            now = await self._post(wire.encode(Update(events, load)))
            if now == epoch:
                return now
        self._events = []
        whole = (AllBlocksCleared(), BlocksStored(tuple(self._blocks), None, (), BLOCK_SIZE))
        return await self._post(wire.encode(Update(whole, load, is_whole=True)))
