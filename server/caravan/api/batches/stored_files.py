"""Uploaded files and the files of answers: their rows, and what is on the disk. Blocking."""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from caravan.api.batches.values import UNFINISHED, File
from caravan.api.store.database import StoreClock, transaction
from caravan.api.store.errors import MissingError
from caravan.api.store.records import Order

# What nobody knows of is left of a server that ended in the middle; an upload may take hours.
_ORPHAN_SECONDS = 24 * 3600
_MOST_FILES = 10_000
_PAGES = {
    "asc": "SELECT * FROM files WHERE owner = ? AND number > ? AND (?3 IS NULL OR purpose = ?3) "
    "AND expires_at > ? ORDER BY number LIMIT ?",
    "desc": "SELECT * FROM files WHERE owner = ? AND number < ? AND (?3 IS NULL OR purpose = ?3) "
    "AND expires_at > ? ORDER BY number DESC LIMIT ?",
}
_FIRST = {"asc": -1, "desc": 2**62}


class FileInUseError(Exception):
    """A file that an unfinished batch reads; the message is the batch's id."""


class NoRoomError(Exception):
    """A key has as much as it may have; the message says how much."""


@dataclass(frozen=True)
class StoredFiles:
    """Is a part of a store, over its connection. What belongs to another owner is missing.

    An owner may have `max_bytes`, in files and in answers that are not in files yet.
    """

    db: sqlite3.Connection
    clock: StoreClock
    folder: Path
    max_bytes: int

    def path(self, name: str) -> Path:
        """Where the file of an id is."""
        return self.folder / name

    def get(self, owner: str, name: str) -> File:
        """Return what is known of a file; raises MissingError."""
        row = self.db.execute("SELECT * FROM files WHERE id = ? AND owner = ?", (name, owner)).fetchone()
        if row is None or row["expires_at"] <= self.clock.now():
            raise MissingError(name)
        return _file(row)

    def page(
        self, owner: str, after: str | None, limit: int, order: Order, purpose: str | None
    ) -> tuple[list[File], bool]:
        """Return some of an owner's files, and whether there are more; raises MissingError for `after`."""
        first = _FIRST[order]
        if after is not None:
            row = self.db.execute("SELECT number FROM files WHERE id = ? AND owner = ?", (after, owner))
            if (found := row.fetchone()) is None:
                raise MissingError(after)
            first = found["number"]
        rows = self.db.execute(_PAGES[order], (owner, first, purpose, self.clock.now(), limit + 1)).fetchall()
        return [_file(row) for row in rows[:limit]], len(rows) > limit

    def room(self, owner: str) -> int:
        """Count the bytes that an owner may still add."""
        kept = self.db.execute(
            "SELECT (SELECT coalesce(sum(num_bytes), 0) FROM files WHERE owner = ?1) "
            "+ (SELECT coalesce(sum(num_bytes), 0) FROM batches WHERE owner = ?1)",
            (owner,),
        ).fetchone()[0]
        return max(0, self.max_bytes - int(kept))

    def upload(self, owner: str, name: str, filename: str, seconds: int) -> File:
        """Add the file that has been written under this id. Raises NoRoomError."""
        size = self.path(name).stat().st_size
        with transaction(self.db):
            count = "SELECT count(*) FROM files WHERE owner = ?"
            if self.db.execute(count, (owner,)).fetchone()[0] >= _MOST_FILES:
                raise NoRoomError(f"{_MOST_FILES} files")
            if size > self.room(owner):
                raise NoRoomError(f"{self.max_bytes} bytes")
            return self.add(owner, name, "batch", filename, size, seconds)

    def add(self, owner: str, name: str, purpose: str, filename: str, size: int, seconds: int) -> File:
        """Add a row; a part of a transaction."""
        now = int(self.clock.note())
        made = File(
            id=name,
            owner=owner,
            purpose=purpose,
            filename=filename,
            num_bytes=size,
            created_at=now,
            expires_at=now + seconds,
        )
        self.db.execute(
            "INSERT INTO files (id, owner, purpose, filename, num_bytes, created_at, expires_at) "
            "VALUES (:id, :owner, :purpose, :filename, :num_bytes, :created_at, :expires_at)",
            asdict(made),
        )
        return made

    def delete(self, owner: str, name: str) -> None:
        """Forget a file. Raises MissingError, and FileInUseError over one that a batch still reads."""
        with transaction(self.db):
            self.get(owner, name)
            if (batch := self._reader(name)) is not None:
                raise FileInUseError(batch)
            self.db.execute("DELETE FROM files WHERE id = ?", (name,))
        self.path(name).unlink(missing_ok=True)

    def delete_old(self) -> None:
        """Forget files whose time is over, but for those that a batch reads, and what nobody knows of."""
        now = self.clock.now()
        rows = self.db.execute("SELECT id FROM files WHERE expires_at <= ?", (now,)).fetchall()
        old = [row["id"] for row in rows if self._reader(row["id"]) is None]
        self._forget(old)
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                is_old = time.time() - path.stat().st_mtime > _ORPHAN_SECONDS
                if is_old and not self._is_known(path.name):
                    path.unlink()

    def _forget(self, names: Sequence[str]) -> None:
        with transaction(self.db):
            self.db.executemany("DELETE FROM files WHERE id = ?", [(name,) for name in names])
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def _is_known(self, name: str) -> bool:
        return self.db.execute("SELECT 1 FROM files WHERE id = ?", (name,)).fetchone() is not None

    def _reader(self, name: str) -> str | None:
        marks = ", ".join("?" * len(UNFINISHED))
        row = self.db.execute(
            f"SELECT id FROM batches WHERE input_file_id = ? AND status IN ({marks})",  # noqa: S608  # nosec B608
            (name, *UNFINISHED),
        ).fetchone()
        return None if row is None else str(row["id"])


def new_id(kind: str) -> str:
    """Make an id that nothing else has."""
    return f"{kind}{uuid.uuid4().hex}"


def _file(row: sqlite3.Row) -> File:
    return File(**{name: row[name] for name in File.__dataclass_fields__})
