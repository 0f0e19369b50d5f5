"""What is to be stored now that it is complete, and what of it the store does not take now."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from caravan.api.store.errors import StorageError
from caravan.api.store.records import Record, Row
from caravan.api.store.store import Store

# Has work done on the store, in the turn of an owner. Raises StorageError.
Do = Callable[[Callable[[Store], None], str], Awaitable[None]]

log = logging.getLogger(__name__)

# As much as all that wait for the store may take; of later ones it is kept that they failed.
_MAX_BYTES = 64 * 1024 * 1024
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_FAULT = {"code": "server_error", "message": "The server could not store the response: storage_failed."}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A response that has ended, what it says, its events if they are kept, and what it has `added` to its
    conversation.
    """

    owner: str
    response: Row
    items: Sequence[Row]
    events: Sequence[bytes] | None = None
    added: Sequence[Row] = ()

    @property
    def id(self) -> str:
        """The id of the response."""
        return str(self.response["id"])

    @property
    def conversation(self) -> str | None:
        """The conversation that it adds to."""
        return str(self.response["conversation"]["id"]) if self.added else None

    @cached_property
    def num_bytes(self) -> int:
        """About how much memory it takes."""
        return len(json.dumps([self.response, self.items, self.added])) + sum(map(len, self.events or ()))

    def keep(self, store: Store) -> None:
        """Store it."""
        store.end(self.response, self.items, self.events, self.added)

    def shortened(self) -> "Outcome":
        """What is still to be stored of it where too much waits for that: that it failed."""
        failed = self.response | {"status": "failed", "error": _FAULT, "output": []}
        return replace(self, response=failed, items=(), events=None, added=())


# What is to be stored now that it is complete.
Kept = Outcome | Record


class Outcomes:
    """Stores outcomes. What the store does not take now is held, can be asked for, and is tried again until
    it is taken or the server ends. Belongs to one event loop.
    """

    def __init__(self, do: Do) -> None:
        self._do = do
        self._held: dict[str, Kept] = {}
        self._num_bytes = 0
        self._keeping: set[asyncio.Task[None]] = set()
        self._trying: asyncio.Task[None] | None = None

    async def keep(self, outcome: Kept) -> None:
        """Store an outcome, now or later, even if nobody waits for that."""
        task = asyncio.create_task(self._keep(outcome))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)
        await asyncio.shield(task)

    async def _keep(self, outcome: Kept) -> None:
        try:
            await self._do(outcome.keep, outcome.owner)
        except StorageError:
            self._hold(outcome)

    def find(self, owner: str, name: str) -> Kept | None:
        """An outcome that is not stored yet."""
        outcome = self._held.get(name)
        return None if outcome is None or outcome.owner != owner else outcome

    def has_for(self, owner: str, conversation: str) -> bool:
        """Whether something that belongs to a conversation is not stored yet."""
        return any(each.owner == owner and each.conversation == conversation for each in self._held.values())

    def forget(self, name: str) -> None:
        """Give up storing one, because it has been deleted."""
        outcome = self._held.pop(name, None)
        if outcome is not None:
            self._num_bytes -= outcome.num_bytes

    async def aclose(self) -> None:
        """Try once more. Outcomes that are lost now show as failed after the next start."""
        if self._keeping:
            await asyncio.wait(set(self._keeping))
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        held = list(self._held.values())
        results = await asyncio.gather(
            *(self._do(outcome.keep, outcome.owner) for outcome in held), return_exceptions=True
        )
        for outcome, result in zip(held, results, strict=True):
            if isinstance(result, Exception):
                log.error("%s is lost: it could not be stored", outcome.id)

    def _hold(self, outcome: Kept) -> None:
        held: Kept | None = outcome
        if self._num_bytes + outcome.num_bytes > _MAX_BYTES:
            log.error("%s is kept as failed, or not at all: too much waits to be stored", outcome.id)
            held = outcome.shortened()
        else:
            log.warning("%s is not stored yet", outcome.id)
        if held is None:
            return
        self._held[held.id] = held
        self._num_bytes += held.num_bytes
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try_again())

    async def _try_again(self) -> None:
        seconds = _FIRST_SECONDS
        while self._held:
            await asyncio.sleep(seconds)
            name, outcome = next(iter(self._held.items()), ("", None))
            if outcome is None:
                return
            try:
                await self._do(outcome.keep, outcome.owner)
            except StorageError:
                seconds = min(2 * seconds, _LONGEST_SECONDS)
            else:
                log.info("%s is stored now", name)
                self.forget(name)
                seconds = 0.0
