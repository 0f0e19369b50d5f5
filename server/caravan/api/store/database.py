"""The SQLite file of what is stored: its tables, what its errors mean, what is deleted when it is full, and
the time by which all of it ages.
"""

import contextlib
import logging
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

VERSION = 3
# Also of chat completions and conversations. It keeps its first name: servers of earlier versions that have
# the file open go on using it. Chats are searched in their index alone.
_SCHEMA = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, place INTEGER NOT NULL, previous_id TEXT,
    is_running INTEGER NOT NULL, used_at REAL NOT NULL, body TEXT NOT NULL, events BLOB,
    num_bytes INTEGER NOT NULL DEFAULT 0, kind TEXT NOT NULL DEFAULT 'response', model TEXT, metadata TEXT);
CREATE INDEX chats ON responses (owner, id, kind, model, metadata) WHERE kind = 'chat';
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
# By the version before: in the first one nobody knew how much is whose, in the second were only responses.
_UPGRADES = (
    _SCHEMA,
    """
ALTER TABLE responses ADD COLUMN num_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX by_owner ON responses (owner, is_running, num_bytes);
UPDATE responses SET num_bytes = length(body) + coalesce(length(events), 0)
    + (SELECT coalesce(sum(length(body)), 0) FROM items WHERE response_id = responses.id);
""",
    """
ALTER TABLE responses ADD COLUMN kind TEXT NOT NULL DEFAULT 'response';
ALTER TABLE responses ADD COLUMN model TEXT;
ALTER TABLE responses ADD COLUMN metadata TEXT;
CREATE INDEX chats ON responses (owner, id, kind, model, metadata) WHERE kind = 'chat';
""",
)
# A response and those that it goes on from, to the first. No value of a request is a part of these texts.
_CHAIN = """
WITH RECURSIVE chain (id, previous_id, depth) AS (
    SELECT id, previous_id, 0 FROM responses WHERE id = :id AND owner = :owner
    UNION ALL
    SELECT r.id, r.previous_id, depth + 1 FROM responses r JOIN chain ON r.id = chain.previous_id
    WHERE r.owner = :owner AND depth < :deepest)
"""
ANCESTORS = f"{_CHAIN} SELECT * FROM chain ORDER BY depth DESC"  # noqa: S608  # nosec B608
TOUCH = f"""{_CHAIN}
UPDATE responses SET used_at = :now WHERE id IN (SELECT id FROM chain)"""  # noqa: S608  # nosec B608
HISTORY = f"""{_CHAIN}
SELECT i.body FROM chain JOIN items i ON i.response_id = chain.id
ORDER BY chain.depth DESC, i.is_output, i.position"""  # noqa: S608  # nosec B608
SIZE = f"""{_CHAIN}
SELECT count(*) AS items, sum(length(CAST(i.body AS BLOB))) AS bytes
FROM chain JOIN items i ON i.response_id = chain.id"""  # noqa: S608  # nosec B608
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Where the system tells no boot from another, each process is one.
_OWN_ID = uuid.uuid4().hex
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
    return connected(path or ":memory:", _set_up)


def connected(place: Path | str, set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """A connection to a file whose tables `set_up` makes, in a transaction. Nothing waits for a lock.

    Raises sqlite3.Error.
    """
    db = sqlite3.connect(place, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        # With WAL this survives the end of the process; only a power cut may cost the last answers.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        with transaction(db):
            set_up(db)
    except BaseException:
        db.close()
        raise
    return db


def _set_up(db: sqlite3.Connection) -> None:
    db.execute(_CLOCK)
    version = version_of(db, VERSION)
    if version == VERSION:
        return
    for upgrade in _UPGRADES[version:] if version else _UPGRADES[:1]:
        for statement in upgrade.split(";\n"):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def version_of(db: sqlite3.Connection, newest: int) -> int:
    """Which version the file's tables have, 0 in a new one; raises sqlite3.DatabaseError if none of ours."""
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in range(newest + 1):
        raise sqlite3.DatabaseError(f"the file has version {version}, not {newest}")
    return version


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Run the block as one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Some errors of SQLite's end the transaction by themselves.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def make_room(db: sqlite3.Connection, *, oldest: float, max_bytes: int) -> None:
    """Delete what nobody has used since `oldest`, and the least recently used while all need more than
    `max_bytes`; nothing that is being made.
    """
    db.execute("DELETE FROM responses WHERE used_at < ? AND NOT is_running", (oldest,))
    while _num_bytes(db) > max_bytes:
        most = db.execute(
            "SELECT owner, count(*) AS num FROM responses WHERE NOT is_running "
            "GROUP BY owner ORDER BY sum(num_bytes) DESC LIMIT 1"
        ).fetchone()
        if most is None:
            return
        # A tenth at a time, so that a full store is not searched for every answer.
        db.execute(
            "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE NOT is_running "
            "AND owner = ? ORDER BY used_at LIMIT ?)",
            (most["owner"], max(1, most["num"] // 10)),
        )


def _num_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def delete_bit_by_bit(db: sqlite3.Connection, response_id: str) -> None:
    """Delete a response on a disk that is almost full: each deletion is first written to a log."""
    for row in db.execute("SELECT rowid FROM items WHERE response_id = ?", (response_id,)).fetchall():
        db.execute("DELETE FROM items WHERE rowid = ?", (row["rowid"],))
        empty_log(db)
    db.execute("DELETE FROM responses WHERE id = ?", (response_id,))
    empty_log(db)


def empty_log(db: sqlite3.Connection) -> None:
    """Apply SQLite's log of changes, and give its space back."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class Clocks(NamedTuple):
    """How the machine's clocks stand, in seconds: `uptime` cannot be set, and begins anew with a `boot`."""

    boot: str
    uptime: float
    wall: float


class StoreClock:
    """Counts seconds on from where the store was last written to, by whichever server.

    Within one boot of the machine they are exact. After another they are what the clock on the wall says has
    passed, unless that is less than nothing or more than `longest`, when everything kept would be too old at
    once: then the clock was set, or nobody was there, and no time has passed.
    """

    def __init__(self, db: sqlite3.Connection, longest: float) -> None:
        self._db = db
        self._longest = longest

    def now(self) -> float:
        """The time, in seconds; changes nothing."""
        return self._passed(look())

    def note(self) -> float:
        """The time, and write down how the clocks stand; a part of the caller's transaction."""
        clocks = look()
        now = self._passed(clocks)
        self._db.execute("INSERT OR REPLACE INTO clock VALUES (0, ?, ?, ?, ?)", (*clocks, now))
        return now

    def _passed(self, clocks: Clocks) -> float:
        row = self._db.execute("SELECT boot, uptime, wall, time FROM clock").fetchone()
        if row is None:
            # Earlier servers went by the clock on the wall.
            newest = self._db.execute("SELECT max(used_at) FROM responses").fetchone()[0]
            start = clocks.wall if newest is None else newest
            row = {"boot": "", "uptime": 0.0, "wall": start, "time": start}
        if row["boot"] == clocks.boot and clocks.uptime >= row["uptime"]:
            passed = clocks.uptime - row["uptime"]
        else:
            passed = clocks.wall - row["wall"]
            if not 0 <= passed <= self._longest:
                log.warning("the clock has moved by %.0f s since a response was stored: not counted", passed)
                passed = 0.0
        return float(row["time"] + passed)


def look() -> Clocks:
    """How the clocks of this machine stand now."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        return Clocks(_OWN_ID, time.monotonic(), time.time())
    # Unlike Python's, this one goes on while the machine sleeps.
    return Clocks(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
