"""The store of responses beside the event loop: opened when it is first needed, in a thread of its own."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from server.errors import ServerError
from server.service.responses.store import Limits, ResponseStore

T = TypeVar("T")

log = logging.getLogger(__name__)


class StorageError(ServerError):
    """The store cannot be read or written; the log says why."""

    code = "storage_failed"


class Archive:
    """Runs what is to be done with the store. Without a path, responses are kept in memory."""

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._thread = ThreadPoolExecutor(1, "responses")
        self._store: ResponseStore | None = None

    async def do(self, work: Callable[[ResponseStore], T]) -> T:
        """The result of `work`, which is done even where nobody waits for it any more.

        Raises what it raises, and StorageError in the place of the database's own errors.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._thread, self._done, work))

    async def aclose(self) -> None:
        """Close the store, if it was ever opened."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _done(self, work: Callable[[ResponseStore], T]) -> T:
        try:
            if self._store is None:
                self._store = ResponseStore(self._path, self._limits)
            return work(self._store)
        except (sqlite3.Error, OSError) as error:
            log.exception("the store of responses fails: %s", self._path or "in memory")
            raise StorageError(
                "The server cannot store responses; with 'store' false this one would be answered."
            ) from error

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
