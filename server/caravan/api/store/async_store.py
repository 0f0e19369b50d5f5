"""The store beside the event loop: in a thread of its own, and what it does not take held."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from caravan.api.store.database import is_full, is_locked
from caravan.api.store.errors import StorageBusyError, StorageError
from caravan.api.store.outcomes import Outcomes
from caravan.api.store.patience import insist, open_at
from caravan.api.store.store import Limits, Store, Unfinished
from caravan.runtime.fair_queue import FairThread

T = TypeVar("T")

log = logging.getLogger(__name__)

# How long a store is waited for that does not answer.
_SILENT_SECONDS = 60.0
# A store that fails is in the log so often.
_QUIET_SECONDS = 10.0


class AsyncStore:
    """Runs work on the store in its thread. Without a path, all is kept in memory.

    `outcomes` is what it is to take as soon as it can.

    Each key has a share of the thread's time. Nobody waits in its line for a lock of another program: what
    finds the store locked comes again a little later, for some seconds.
    """

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._thread = FairThread("responses")
        self._store: Store | None = None
        self.outcomes = Outcomes(self.do)
        # Of a file that is gone, until there is another.
        self._unfinished: list[Unfinished] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._told_at = -_QUIET_SECONDS

    async def open(self) -> None:
        """Open the store before it is needed; raises PlaceError where that cannot be done.

        What may pass, such as another program's lock or a full disk, is left to those who need the store.
        """
        await open_at(self._path, self._thread, self._opened)

    async def do(self, work: Callable[[Store], T], owner: str) -> T:
        """The result of `work`, which is done even where nobody waits for it any more.

        Raises what it raises, and StorageError in the place of the database's own errors. It is done in the
        turn of `owner`.
        """
        task = asyncio.create_task(insist(self._thread, partial(self._done, work), owner, self._told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Whoever asked may be gone when it fails.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError:
            raise StorageError("The store does not answer.") from None
        finally:
            # What it raises refers to this frame.
            del task

    async def aclose(self) -> None:
        """Close the store, if it was ever opened, after what is to be done with it."""
        await self.outcomes.aclose()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_SILENT_SECONDS)
        await asyncio.wrap_future(self._thread.submit(self._close))
        self._thread.close(wait=True)

    def _done(self, work: Callable[[Store], T]) -> T:
        return work(self._opened())

    def _opened(self) -> Store:
        """The store of the file that has the name now: a file that was deleted or replaced takes no more."""
        if self._store is not None and (fate := self._store.fate()) is not None:
            what = "a new one is begun" if fate == "deleted" else "the one that is there now is used"
            log.warning("%s was %s while it was in use: %s", self._path, fate, what)
            store, self._store = self._store, None
            self._unfinished += store.leave()
        if self._store is None:
            self._store = Store(self._path, self._limits)
        if self._unfinished:
            self._store.take_over(self._unfinished)
            self._unfinished = []
        if self._store.join_again():
            log.warning("%s-servers was deleted while it was in use: it is made anew", self._path)
        return self._store

    def _told(self, error: sqlite3.Error | OSError) -> StorageError:
        """The error for the client; the log gets it from time to time."""
        now = asyncio.get_running_loop().time()
        is_new = now - self._told_at >= _QUIET_SECONDS
        self._told_at = now if is_new else self._told_at
        level = logging.ERROR if is_new else logging.DEBUG
        log.log(level, "the store fails: %s", self._path or "in memory", exc_info=error)
        advice = "what stores nothing is served"
        if isinstance(error, sqlite3.Error) and is_locked(error):
            return StorageBusyError(f"The store is locked by another program; {advice}.")
        if isinstance(error, sqlite3.Error) and is_full(error):
            return StorageBusyError(f"The server has no room to store anything; {advice}.")
        return StorageBusyError(f"The server cannot store anything; {advice}.")

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
