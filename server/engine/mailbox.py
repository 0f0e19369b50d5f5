"""Where a request's outputs wait for the coroutine that sends them."""

import asyncio

from server.engine.outputs import TokenOutput
from server.errors import CaravanError

Item = TokenOutput | CaravanError


class Mailbox:
    """What has come for one request, for its one reader, who takes all at once."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Item) -> None:
        """Add an item and wake the reader."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[Item]:
        """All items since the last time, in order; waits for the first."""
        if not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        items, self._items = self._items, []
        return items
