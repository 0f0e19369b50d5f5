"""Where replicas of one model tell what they have and do, and routers and ingresses hear of it: one actor.

What it knows is others'. If it dies, another begins empty, and whoever calls finds by its `epoch` that all is
to be told, or heard, anew.
"""

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from caravan.engine.block_events import AllBlocksCleared, BlocksStored
from caravan.ray_serve import wire
from caravan.ray_serve.wire import Load, Update

# Replicas tell something so often; one that has not for so long has died.
PULSE_SECONDS = 1.0
_SILENT_SECONDS = 10.0
# News that are kept for those who have not heard them; who is further behind hears all.
_MOST_NEWS = 4096
_LONGEST_WAIT_SECONDS = 10.0


class Cursor(NamedTuple):
    """What a reader has heard: the life of the board, and how many news of it."""

    epoch: int = 0
    num_news: int = 0


class _Replica:
    def __init__(self) -> None:
        self.blocks: set[int] = set()
        self.load = Load()
        self.heard_at = 0.0

    def take(self, update: Update) -> None:
        if update.is_whole:
            self.blocks.clear()
        for event in update.events:
            if isinstance(event, BlocksStored):
                self.blocks.update(event.block_hashes)
            elif isinstance(event, AllBlocksCleared):
                self.blocks.clear()
            else:
                self.blocks.difference_update(event.block_hashes)
        self.load = update.load or self.load

    def whole(self) -> Update:
        """All that it has, as one piece without its tokens: readers look for hashes alone."""
        event = BlocksStored(tuple(self.blocks), None, (), 0)
        return Update((AllBlocksCleared(), event), self.load, is_whole=True)


class Board:
    """An actor whose methods are called by replicas (`post`, `leave`) and by all others (`news`, `loads`)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoch = secrets.randbits(32) + 1
        self._count = 0
        self._news: deque[tuple[str, bytes]] = deque(maxlen=_MOST_NEWS)
        self._replicas: dict[str, _Replica] = {}
        self._has_news = asyncio.Event()

    async def post(self, replica_id: str, data: bytes) -> int:
        """Take the news of a replica; the epoch, or 0, differs from the last where all is to be told anew."""
        update = wire.update(data)
        if replica_id not in self._replicas and not update.is_whole:
            return 0
        replica = self._replicas.setdefault(replica_id, _Replica())
        replica.take(update)
        replica.heard_at = self._clock()
        self._tell(replica_id, data)
        self._forget_the_dead()
        return self._epoch

    async def leave(self, replica_id: str) -> None:
        """Forget a replica."""
        self._forget(replica_id)

    async def news(self, cursor: Cursor) -> tuple[Cursor, list[tuple[str, bytes]]]:
        """What a reader has not heard; waits for it, for some seconds."""
        is_known = cursor.epoch == self._epoch and self._count - cursor.num_news <= len(self._news)
        if is_known and cursor.num_news == self._count:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                    await self._has_news.wait()
        now = Cursor(self._epoch, self._count)
        if not is_known:
            return now, [(name, wire.encode(replica.whole())) for name, replica in self._replicas.items()]
        missing = self._count - cursor.num_news
        return now, list(self._news)[len(self._news) - missing :]

    async def loads(self) -> list[Load]:
        """What each replica has to do."""
        self._forget_the_dead()
        return [replica.load for replica in self._replicas.values()]

    def _forget_the_dead(self) -> None:
        now = self._clock()
        silent = [name for name, one in self._replicas.items() if now - one.heard_at > _SILENT_SECONDS]
        for replica_id in silent:
            self._forget(replica_id)

    def _forget(self, replica_id: str) -> None:
        if self._replicas.pop(replica_id, None) is not None:
            self._tell(replica_id, wire.encode(Update((AllBlocksCleared(),), Load(is_ready=False))))

    def _tell(self, replica_id: str, data: bytes) -> None:
        self._news.append((replica_id, data))
        self._count += 1
        self._has_news.set()
        # Whoever waits now hears of it; whoever comes later waits for the next.
        self._has_news = asyncio.Event()
