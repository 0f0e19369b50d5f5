"""An engine in a process of its own, for a `with` block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.watchdog import WatchLimits


@asynccontextmanager
async def started(config: EngineConfig, watch: WatchLimits | None = None) -> AsyncIterator[AsyncEngine]:
    """A started engine; ended in any case."""
    engine = AsyncEngine(config, watch=watch)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
