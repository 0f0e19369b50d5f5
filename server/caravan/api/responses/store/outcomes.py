"""What became of responses, on its way into the store."""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from caravan.api.responses.store.async_store import AsyncResponseStore, StorageError
from caravan.api.responses.store.response_store import ResponseStore, Row

log = logging.getLogger(__name__)

# As much as all that wait for the store may take; of later ones it is kept that they failed.
_MAX_BYTES = 64 * 1024 * 1024
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 30.0
_FAULT = {"code": "server_error", "message": "The server could not store the response: storage_failed."}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A response that has ended, what it says, and its events if they are kept."""

    owner: str
    response: Row
    items: Sequence[Row]
    events: Sequence[bytes] | None = None

    @cached_property
    def num_bytes(self) -> int:
        """About how much memory it takes."""
        return len(json.dumps([self.response, self.items])) + sum(map(len, self.events or ()))

    def keep(self, store: ResponseStore) -> None:
        """Store it."""
        store.end(self.response, self.items, self.events)


class Outcomes:
    """Stores outcomes. What the store does not take now is held, can be asked for, and is tried again until
    it is taken or the server ends. Belongs to one event loop.
    """

    def __init__(self, archive: AsyncResponseStore) -> None:
        self._archive = archive
        self._held: dict[str, Outcome] = {}
        self._num_bytes = 0
        self._keeping: set[asyncio.Task[None]] = set()
        self._trying: asyncio.Task[None] | None = None

    async def keep(self, outcome: Outcome) -> None:
        """Store an outcome, now or later, even if nobody waits for that."""
        task = asyncio.create_task(self._keep(outcome))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)
        await asyncio.shield(task)

    async def _keep(self, outcome: Outcome) -> None:
        try:
            await self._archive.do(outcome.keep, outcome.owner)
        except StorageError:
            self._hold(outcome)

    def find(self, owner: str, response_id: str) -> Outcome | None:
        """What is not stored yet."""
        outcome = self._held.get(response_id)
        return None if outcome is None or outcome.owner != owner else outcome

    def forget(self, response_id: str) -> None:
        """Give up storing one, because it has been deleted."""
        outcome = self._held.pop(response_id, None)
        if outcome is not None:
            self._num_bytes -= outcome.num_bytes

    async def aclose(self) -> None:
        """Try once more. What is lost now is found as failed when the server is started again."""
        if self._keeping:
            await asyncio.wait(set(self._keeping))
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.wait([self._trying])
        held = list(self._held.values())
        results = await asyncio.gather(
            *(self._archive.do(outcome.keep, outcome.owner) for outcome in held), return_exceptions=True
        )
        for outcome, result in zip(held, results, strict=True):
            if isinstance(result, Exception):
                log.error("response %s is lost: it could not be stored", outcome.response["id"])

    def _hold(self, outcome: Outcome) -> None:
        response_id = outcome.response["id"]
        if self._num_bytes + outcome.num_bytes > _MAX_BYTES:
            log.error("response %s is kept as failed: too many wait to be stored", response_id)
            failed = outcome.response | {"status": "failed", "error": _FAULT, "output": []}
            outcome = replace(outcome, response=failed, items=(), events=None)
        else:
            log.warning("response %s is not stored yet", response_id)
        self._held[response_id] = outcome
        self._num_bytes += outcome.num_bytes
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try_again())

    async def _try_again(self) -> None:
        seconds = _FIRST_SECONDS
        while self._held:
            await asyncio.sleep(seconds)
            response_id, outcome = next(iter(self._held.items()), ("", None))
            if outcome is None:
                return
            try:
                await self._archive.do(outcome.keep, outcome.owner)
            except StorageError:
                seconds = min(2 * seconds, _LONGEST_SECONDS)
            else:
                log.info("response %s is stored now", response_id)
                self.forget(response_id)
                seconds = 0.0
