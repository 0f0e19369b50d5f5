"""Replicas in the test's own process: real engines, a real board, a real index, and no Ray between them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from caravan.config.engine_config import EngineConfig
from caravan.engine.block_events import chain_root
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.ray_serve import wire
from caravan.ray_serve.board import Board, Cursor
from caravan.ray_serve.engine_host import EngineHost
from caravan.ray_serve.frames import ReplicaLostError
from caravan.ray_serve.routing import PrefixIndex
from caravan.ray_serve.wire import Facts, Load, Route

ROOT = chain_root("tiny")


class LocalReplicas:
    """The `Replicas` of one model. One whose engine has been ended counts as dead."""

    def __init__(self, path: Path, count: int, num_cells: int = 4096) -> None:
        config = EngineConfig(
            model_path=str(path), context_size=num_cells, num_cells=num_cells, num_threads=1, max_running=16
        )
        self.board = Board()
        self.index = PrefixIndex(decode_weight=16)
        self.engines = {f"r{number}": AsyncEngine(config) for number in range(count)}
        self.hosts = {name: self._host(name, engine) for name, engine in self.engines.items()}
        self.served: list[tuple[str, str]] = []
        self.dead: set[str] = set()
        # Dead, and the router has not heard of it.
        self.dying: set[str] = set()
        self._following: asyncio.Task[None] | None = None

    def _host(self, name: str, engine: AsyncEngine) -> EngineHost:
        return EngineHost(engine, ROOT, lambda data: self.board.post(name, data))

    async def start(self) -> None:
        await asyncio.gather(*(host.start() for host in self.hosts.values()))
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await asyncio.gather(*(host.close() for host in self.hosts.values()))

    async def _follow(self) -> None:
        cursor = Cursor()
        while True:
            cursor, news = await self.board.news(cursor)
            for name, data in news:
                update = wire.update(data)
                self.index.note(name, update.events, update.load)

    async def facts(self) -> Facts:
        return next(iter(self.hosts.values())).facts()

    async def loads(self) -> list[Load]:
        return await self.board.loads()

    def end_thoughts(self, route: Route, owner: str) -> None:
        for name in self.index.ranked(route, self.hosts.keys()):
            self.hosts[name].end_thoughts(route.request_id, owner)

    def generate(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        name = self._chosen(route)
        return self._until_death(name, route, self.hosts[name].generate(request, route))

    def embed(self, request: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        name = self._chosen(route)
        return self._until_death(name, route, self.hosts[name].embed(request, route))

    def _chosen(self, route: Route) -> str:
        name = self.index.ranked(route, self.hosts.keys() - self.dead)[0]
        self.index.sent(route, name)
        self.served.append((route.request_id, name))
        return name

    async def _until_death(
        self, name: str, route: Route, frames: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """As from a process that may be gone at any time: its last frames are lost with it."""
        try:
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    if name in self.dead | self.dying:
                        raise ReplicaLostError(f"{name} has died")
                    yield frame
        finally:
            self.index.ended(route.request_id, name)
            self.dead |= self.dying


@contextlib.asynccontextmanager
async def replicas_on(path: Path, count: int) -> AsyncIterator[LocalReplicas]:
    """Started replicas, ended in any case."""
    replicas = LocalReplicas(path, count)
    try:
        await replicas.start()
        yield replicas
    finally:
        await replicas.close()
