"""The SQLite file of stored responses: what is in it, and what its errors mean."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

VERSION = 2
_SCHEMA = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, place INTEGER NOT NULL, previous_id TEXT,
    is_running INTEGER NOT NULL, used_at REAL NOT NULL, body TEXT NOT NULL, events BLOB,
    num_bytes INTEGER NOT NULL DEFAULT 0);
CREATE INDEX by_use ON responses (used_at);
CREATE INDEX by_owner ON responses (owner, is_running, num_bytes);
CREATE INDEX running ON responses (place) WHERE is_running;
CREATE TABLE items (
    response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    is_output INTEGER NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (response_id, is_output, position));
CREATE INDEX by_id ON items (id);
"""
# One row: how the clocks stood when the store was last written to. An older server can do without.
_CLOCK = """
CREATE TABLE IF NOT EXISTS clock (
    only INTEGER PRIMARY KEY CHECK (only = 0), boot TEXT NOT NULL, uptime REAL NOT NULL, wall REAL NOT NULL,
    time REAL NOT NULL)"""
# From the first version: nobody knew how much is whose.
_UPGRADE = """
ALTER TABLE responses ADD COLUMN num_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX by_owner ON responses (owner, is_running, num_bytes);
UPDATE responses SET num_bytes = length(body) + coalesce(length(events), 0)
    + (SELECT coalesce(sum(length(body)), 0) FROM items WHERE response_id = responses.id);
"""
# Whoever finds the file locked comes again a little later, and lets others go first meanwhile.
_BUSY_SECONDS = 0
# SQLite's codes have details above these bits.
_PRIMARY = 0xFF


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk has no room, by whatever name: a quota that is used up, a limit of a file's size."""
    return _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another program has the file to itself at the moment."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def opened(path: Path | None) -> sqlite3.Connection:
    """A connection to the file, or to memory. Nothing waits for a lock. Raises sqlite3.Error."""
    db = sqlite3.connect(path or ":memory:", timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _set_up(db)
    except BaseException:
        db.close()
        raise
    return db


def _set_up(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # With WAL this survives the end of the process; only a power cut may cost the last answers.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):
        db.execute(_CLOCK)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in range(VERSION + 1):
            raise sqlite3.DatabaseError(f"the file has version {version}, not {VERSION}")
        if version == VERSION:
            return
        for statement in (_UPGRADE if version else _SCHEMA).split(";\n"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Some errors of SQLite's end the transaction by themselves.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
