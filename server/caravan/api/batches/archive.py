"""Files and batches beside the event loop: their folder, and a thread that works on it."""

import asyncio
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from caravan.api.batches.database import opened
from caravan.api.batches.stored_batches import StoredBatches
from caravan.api.batches.stored_files import StoredFiles
from caravan.api.batches.values import KEPT_SECONDS
from caravan.api.store.database import StoreClock, is_locked
from caravan.api.store.errors import StorageBusyError, StorageError
from caravan.api.store.files import ServerLock
from caravan.api.store.patience import insist, open_at
from caravan.errors import NotServedError
from caravan.runtime.fair_queue import FairThread

T = TypeVar("T")

log = logging.getLogger(__name__)

_DATABASE = "batches.db"
_FILES = "files"


class Store:
    """Opens or makes the folder. Blocking; all calls come from one thread.

    Raises sqlite3.Error and OSError.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        files = folder / _FILES
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._servers = ServerLock(folder / f"{_DATABASE}-servers")
        try:
            self._db = opened(folder / _DATABASE)
        except BaseException:
            self._servers.close()
            raise
        clock = StoreClock(self._db, KEPT_SECONDS)
        self.files = StoredFiles(self._db, clock, files, max_bytes)
        self.batches = StoredBatches(self._db, clock, self.files)

    @property
    def place(self) -> int:
        """The place of this server among those that share the folder."""
        return self._servers.place

    def is_alive(self, place: int) -> bool:
        """Whether the server of a place runs."""
        return self._servers.is_alive(place)

    def delete_old(self) -> None:
        """Forget what nobody is promised any more."""
        self.files.delete_old()
        self.batches.delete_old()

    def close(self) -> None:
        """Close the file, and leave the list of servers."""
        self._db.close()
        self._servers.close()


class BatchArchive:
    """Runs work on the store in its thread, of which each key has a share.

    Without a folder there is a temporary one, which ends with this. It is opened when it is first needed.
    """

    def __init__(self, folder: Path | None, max_bytes: int, *, is_served: bool = True) -> None:
        self._is_served = is_served
        self._folder = folder
        self._max_bytes = max_bytes
        self._temporary: Path | None = None
        self._thread = FairThread("batches")
        self._store: Store | None = None

    async def open(self) -> None:
        """Open the store before it is needed; raises PlaceError where that cannot be done."""
        if not self._is_served:
            return
        await open_at(self._folder, self._thread, self._opened)

    async def do(self, work: Callable[[Store], T], owner: str = "") -> T:
        """Return the result of `work`, done in the turn of `owner`.

        Raises what it raises, StorageError in the place of the database's own errors, and NotServedError
        where files and batches are not served.
        """
        if not self._is_served:
            raise NotServedError("Files and batches are served by one server, and not by a cluster.")
        return await insist(self._thread, partial(self._done, work), owner, storage_error)

    async def aclose(self) -> None:
        """Close the store, if it was ever opened, after what is to be done with it."""
        await asyncio.wrap_future(self._thread.submit(self._close))
        self._thread.close(wait=True)

    def _done(self, work: Callable[[Store], T]) -> T:
        return work(self._opened())

    def _opened(self) -> Store:
        if self._store is None:
            folder = self._folder
            if folder is None:
                folder = self._temporary = self._temporary or Path(
                    tempfile.mkdtemp(prefix="caravan-batches-")
                )
            self._store = Store(folder, self._max_bytes)
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def storage_error(error: sqlite3.Error | OSError) -> StorageError:
    """Make the error for the client; the log has what was wrong."""
    log.error("files and batches cannot be stored: %s", error)
    if isinstance(error, sqlite3.Error) and is_locked(error):
        return StorageBusyError("The store of files and batches is locked by another program.")
    return StorageBusyError("The server cannot store files and batches at the moment.")
