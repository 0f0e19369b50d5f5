"""The deployment of one model: each replica owns an engine, whose process is its child."""

import contextlib
import logging
from collections.abc import AsyncGenerator

import msgspec
from ray import serve

from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.ray_serve import wire
from caravan.ray_serve.actors import board_of
from caravan.ray_serve.engine_host import EngineHost
from caravan.ray_serve.wire import Route

log = logging.getLogger(__name__)


class EngineReplica:
    """What a handle of the deployment calls; Ray calls the rest."""

    async def __init__(self, config: bytes, root: bytes) -> None:  # type: ignore[misc] # Ray waits for it
        context = serve.get_replica_context()
        self._id: str = context.replica_id.unique_id
        self._board = board_of(context.deployment, context.app_name)
        engine = AsyncEngine(msgspec.msgpack.decode(config, type=EngineConfig))
        self._host = EngineHost(engine, root, self._post)
        await self._host.start()

    async def facts(self) -> bytes:
        """What the engine has settled on."""
        return wire.encode(self._host.facts())

    async def generate(self, data: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for text."""
        generating = self._host.generate(data, route)
        # As there.
        del data
        async with contextlib.aclosing(generating) as frames:
            async for frame in frames:
                yield frame

    async def embed(self, data: bytes, route: Route) -> AsyncGenerator[bytes, None]:
        """Frames of a request for vectors."""
        async with contextlib.aclosing(self._host.embed(data, route)) as frames:
            async for frame in frames:
                yield frame

    async def end_thoughts(self, route: Route, owner: str) -> None:
        """Have a request begin to answer."""
        self._host.end_thoughts(route.request_id, owner)

    async def check_health(self) -> None:
        """Ask for the child's heartbeat; what this raises has Ray replace the replica."""
        self._host.check_health()

    async def record_routing_stats(self) -> dict[str, float]:
        """What Ray's own routers may look at."""
        return self._host.work()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `scaling.py` decides by."""
        return self._host.work()

    async def __del__(self) -> None:
        """End the engine: Ray calls this when all requests have ended, or had the time to."""
        await self._host.close()
        await self._board.leave.remote(self._id)

    async def _post(self, data: bytes) -> int:
        return int(await self._board.post.remote(self._id, data))
