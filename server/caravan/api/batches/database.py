"""The SQLite file of files, batches and lines: its tables, and how it is opened."""

import os
import sqlite3
from pathlib import Path

from caravan.api.store.database import connected, look, version_of

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
