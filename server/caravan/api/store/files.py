"""The files of a store: the database, the list of servers that share it, space to delete with.

Whether there can be a store, and whether an open one still has its files.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from caravan.api.store.database import VERSION

log = logging.getLogger(__name__)

Fate = Literal["deleted", "replaced"]

_MAX_SERVERS = 1024
# To delete from a file in WAL mode, SQLite first writes down what changes. So much is enough for the largest
# single thing that is kept.
_RESERVED_BYTES = 16 * 1024 * 1024
# Another server may be writing at this moment, of which reading without a lock sees halves.
_NUM_LOOKS = 3
_LOOK_SECONDS = 0.1


class PlaceError(Exception):
    """Responses cannot be kept there; the message is one line that begins with the path."""


def check_place(path: Path) -> None:
    """Raise PlaceError if no store can be opened or made there. Only looks, and changes nothing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        _check_folder(path, next(folder for folder in path.absolute().parents if folder.exists()))
        return
    except (OSError, ValueError) as error:
        raise PlaceError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise PlaceError(f"{path}: this is a folder, and responses are kept in a file")
    if not stat.S_ISREG(status.st_mode):
        raise PlaceError(f"{path}: this is no regular file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PlaceError(f"{path}: this server may not read and write it")
    # SQLite makes files of its own beside it.
    _check_folder(path, path.absolute().parent)
    _check_content(path)


def _check_folder(path: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise PlaceError(f"{path}: {folder} is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PlaceError(f"{path}: this server may not write into {folder}")


def _check_content(path: Path) -> None:
    for look in range(_NUM_LOOKS):
        try:
            _look_into(path)
        except sqlite3.DatabaseError as error:
            if look + 1 == _NUM_LOOKS:
                raise PlaceError(f"{path}: {reason(error)}") from error
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _look_into(path: Path) -> None:
    """Read without locks, and without making the files that SQLite has beside an open one."""
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in range(VERSION + 1):
            raise sqlite3.DatabaseError(f"the file has version {version}, not {VERSION}")
        if version:
            db.execute("SELECT count(*) FROM responses WHERE is_running").fetchone()


def reason(error: sqlite3.Error | OSError) -> str:
    """Why a store cannot be opened, in words for the operator."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return "this is no file of responses, or it is damaged"
    return str(error)


@dataclass(frozen=True)
class Marks:
    """By what the file of an open store, and SQLite's log of changes beside it, are known again.

    As long as the store is open, no other files get the same marks.
    """

    path: Path
    file: tuple[int, int] | None
    log: tuple[int, int] | None

    @classmethod
    def of(cls, path: Path) -> "Marks":
        """Those of the files at the moment."""
        return cls(path, _mark(path), _mark(_log(path)))

    def fate(self) -> Fate | None:
        """What has become of the file; None where it is there, or nobody can tell."""
        try:
            now = _mark(self.path)
        except OSError:
            return None
        if now == self.file:
            return None
        return "deleted" if now is None else "replaced"

    def remove_log(self) -> None:
        """Remove the log of a file that is gone: SQLite would apply it to the one that is there now."""
        if self.log is not None and _mark(_log(self.path)) == self.log:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


class ServerLock:
    """A server's place among those that share a store: the lock of a byte, which the kernel gives up when the
    process ends.

    Locks are the process's, so that one process has one place. Without a file there is but one server.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.place = 0 if self._file is None else self._first_free()

    @property
    def is_lost(self) -> bool:
        """Whether the file was deleted or replaced, so that servers which start now do not see this one."""
        if self._path is None or self._file is None:
            return False
        status = os.fstat(self._file)
        try:
            return _mark(self._path) != (status.st_dev, status.st_ino)
        except OSError:
            return False

    def joined_again(self) -> "ServerLock":
        """A place in a new file of the same name."""
        self.close()
        return ServerLock(self._path)

    def is_alive(self, place: int) -> bool:
        """Whether the server of a place runs."""
        if place == self.place or self._file is None:
            return place == self.place
        if not self._lock(place):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
        return False

    def close(self) -> None:
        """Leave the list."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _first_free(self) -> int:
        for place in range(_MAX_SERVERS):
            if self._lock(place):
                return place
        raise OSError(f"{_MAX_SERVERS} servers share this file already")

    def _lock(self, place: int) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True


class Reserve:
    """Disk space, held by an empty file, with which something can be deleted when there is no other left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take the space, unless that is done. Where there is none, the log says so."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("no space is kept for deletions: %s", error)
            return
        try:
            if os.fstat(descriptor).st_size < _RESERVED_BYTES:
                os.posix_fallocate(descriptor, 0, _RESERVED_BYTES)
        except OSError as error:
            # A part of it would look like all of it.
            os.ftruncate(descriptor, 0)
            log.warning("no space is kept for deletions: %s", error.strerror)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the space back to the disk."""
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
