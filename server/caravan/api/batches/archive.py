"""Files and batches beside the event loop: their folder, its SQLite file, and a thread that works on them."""

import asyncio
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from caravan.api.batches.stored_batches import StoredBatches
from caravan.api.batches.stored_files import StoredFiles
from caravan.api.batches.values import KEPT_SECONDS
from caravan.api.store.database import StoreClock, connected, is_locked, look, version_of
from caravan.api.store.errors import StorageBusyError, StorageError
from caravan.api.store.files import ServerLock
from caravan.api.store.patience import insist, open_at
from caravan.errors import NotServedError
from caravan.runtime.fair_queue import FairThread

VERSION = 1
# `place` is the server that works on a batch. Answers are in the lines until their files are written.
_SCHEMA = """
CREATE TABLE clock (
    only INTEGER PRIMARY KEY CHECK (only = 0), boot TEXT NOT NULL, uptime REAL NOT NULL, wall REAL NOT NULL,
    time REAL NOT NULL);
CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    purpose TEXT NOT NULL, filename TEXT NOT NULL, num_bytes INTEGER NOT NULL, created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL);
CREATE INDEX files_of_owner ON files (owner, number);
CREATE INDEX files_by_end ON files (expires_at);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    place INTEGER NOT NULL, status TEXT NOT NULL, input_file_id TEXT NOT NULL, endpoint TEXT NOT NULL,
    metadata TEXT, output_seconds INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    times TEXT NOT NULL DEFAULT '{}', faults TEXT, output_file_id TEXT, error_file_id TEXT, model TEXT,
    num_total INTEGER NOT NULL DEFAULT 0, num_completed INTEGER NOT NULL DEFAULT 0,
    num_failed INTEGER NOT NULL DEFAULT 0, prompt INTEGER NOT NULL DEFAULT 0,
    cached INTEGER NOT NULL DEFAULT 0, completion INTEGER NOT NULL DEFAULT 0,
    reasoning INTEGER NOT NULL DEFAULT 0, num_bytes INTEGER NOT NULL DEFAULT 0);
CREATE INDEX batches_of_owner ON batches (owner, number);
CREATE INDEX unfinished ON batches (status)
    WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');
CREATE TABLE lines (
    batch INTEGER NOT NULL REFERENCES batches (number) ON DELETE CASCADE, position INTEGER NOT NULL,
    custom_id TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, turn BLOB NOT NULL,
    is_error INTEGER, answer BLOB, PRIMARY KEY (batch, position));
CREATE INDEX to_do ON lines (batch, turn, position) WHERE answer IS NULL
"""

T = TypeVar("T")

log = logging.getLogger(__name__)

_DATABASE = "batches.db"
_FILES = "files"


def opened(path: Path) -> sqlite3.Connection:
    """Open the file, or make it; only its owner may read it. Nothing waits for a lock.

    Raises sqlite3.Error and OSError.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return connected(path, _set_up)


def _set_up(db: sqlite3.Connection) -> None:
    if version_of(db, VERSION) == VERSION:
        return
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)
    clocks = look()
    db.execute("INSERT INTO clock VALUES (0, ?, ?, ?, ?)", (*clocks, clocks.wall))
    db.execute(f"PRAGMA user_version = {VERSION}")


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
    """Runs work on the store in its thread, of which each key has a share, if files and batches are served.

    Without a folder there is a temporary one, which ends with this. It is opened when it is first needed.
    """

    def __init__(self, folder: Path | None, max_bytes: int, *, is_served: bool = True) -> None:
        self.is_served = is_served
        self._folder = folder
        self._max_bytes = max_bytes
        self._temporary: Path | None = None
        self._thread = FairThread("batches")
        self._store: Store | None = None

    async def open(self) -> None:
        """Open the store before it is needed; raises PlaceError where that cannot be done."""
        await open_at(self._folder, self._thread, self._opened)

    async def do(self, work: Callable[[Store], T], owner: str = "") -> T:
        """Return the result of `work`, done in the turn of `owner`.

        Raises what it raises, StorageError in the place of the database's own errors, and NotServedError
        where files and batches are not served.
        """
        if not self.is_served:
            raise NotServedError(
                "Files and batches are not served: several ingresses need 'batches_dir', a folder of all."
            )
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
