"""Stored responses in SQLite: one file, bounded by age and size. Blocking; all calls come from one thread."""

import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

from caravan.api.store import database
from caravan.api.store.database import (
    StoreClock,
    delete_bit_by_bit,
    is_full,
    make_room,
    opened,
    transaction,
)
from caravan.api.store.files import Fate, Marks, Reserve, ServerLock

P = ParamSpec("P")

Row = dict[str, Any]

log = logging.getLogger(__name__)

MAX_CHAIN = 4096
# Of a whole conversation. What the model does not see again, such as thoughts, is in no context's count.
MAX_HISTORY_ITEMS = 32_768
MAX_HISTORY_BYTES = 16 * 1024 * 1024
_FAULT = {"code": "server_error", "message": "The server ended before the response was complete."}


class MissingError(Exception):
    """A response that is not stored, or is somebody else's. The message is its id."""


class LongHistoryError(Exception):
    """A conversation that is too long to go on with; the message says how long."""


class Unfinished(NamedTuple):
    """A running response and its input items, as they are stored."""

    owner: str
    response: Row
    items: list[Row]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Responses go when nobody has used them for `max_seconds`, or all together need over `max_bytes`."""

    max_seconds: float
    max_bytes: int


class Store:
    """Opens or makes the file at `path`; without one, responses end with the process.

    Responses that a dead server was making become failed. Where the file is full, each owner has an equal
    share of it: the responses that go are of who has the most. Nothing waits for a lock of another program.
    Raises sqlite3.Error and OSError.
    """

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self._limits = limits
        self._own: dict[str, str] = {}
        self._reserve: Reserve | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its other files the same permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        self._servers = ServerLock(path and path.with_name(f"{path.name}-servers"))
        try:
            self._db = self._open(path)
        except BaseException:
            self._servers.close()
            raise
        self._clock = StoreClock(self._db, limits.max_seconds)
        self._marks = None if path is None else Marks.of(path)
        if self._reserve is not None:
            self._reserve.fill()
        for row in self._db.execute("SELECT DISTINCT place FROM responses WHERE is_running").fetchall():
            if row["place"] == self._servers.place or not self._servers.is_alive(row["place"]):
                self._try(self._bury, row["place"])

    def _open(self, path: Path | None) -> sqlite3.Connection:
        try:
            return opened(path)
        except sqlite3.OperationalError as error:
            if self._reserve is None or not is_full(error):
                raise
            self._reserve.release()
            return opened(path)

    def begin(self, owner: str, response: Row, items: Sequence[Row]) -> None:
        """Store a running response and its input items."""
        with transaction(self._db):
            now, limits = self._clock.note(), self._limits
            make_room(self._db, oldest=now - limits.max_seconds, max_bytes=limits.max_bytes)
            place, previous = self._servers.place, response["previous_response_id"]
            self._db.execute(
                "INSERT INTO responses (id, owner, place, previous_id, is_running, used_at, body) "
                "VALUES (?, ?, ?, ?, 1, ?, ?)",
                (response["id"], owner, place, previous, now, json.dumps(response)),
            )
            self._insert(response["id"], items, is_output=False)
            self._measure(response["id"])
        self._own[response["id"]] = response["status"]

    def end(self, response: Row, items: Sequence[Row], events: Sequence[bytes] | None) -> None:
        """Store its outcome, unless it has been deleted meanwhile."""
        packed = None if events is None else zlib.compress(b"\n".join(events), 1)
        with transaction(self._db):
            done = self._db.execute(
                "UPDATE responses SET is_running = 0, body = ?, events = ? WHERE id = ?",
                (json.dumps(response), packed, response["id"]),
            )
            if done.rowcount:
                self._insert(response["id"], items, is_output=True)
                self._measure(response["id"])
        self._own.pop(response["id"], None)

    def get(self, owner: str, response_id: str) -> Row:
        """A response; raises MissingError."""
        row = self._row(owner, response_id)
        body: Row = json.loads(row["body"])
        if row["is_running"] and not self._is_being_made(row):
            # A file that takes no changes now is mended later.
            self._try(self._bury, row["place"])
            body |= {"status": "failed", "error": _FAULT}
        return body

    def events(self, owner: str, response_id: str) -> list[bytes] | None:
        """The events of a response that was streamed; None where they are not kept."""
        packed = self._row(owner, response_id)["events"]
        return None if packed is None else zlib.decompress(packed).split(b"\n")

    def delete(self, owner: str, response_id: str) -> None:
        """Forget a response and its items; raises MissingError."""
        self._row(owner, response_id)
        try:
            self._db.execute("DELETE FROM responses WHERE id = ?", (response_id,))
        except sqlite3.OperationalError as error:
            if self._reserve is None or not is_full(error):
                raise
            self._reserve.release()
            try:
                delete_bit_by_bit(self._db, response_id)
            finally:
                self._reserve.fill()
        self._own.pop(response_id, None)

    def input_items(self, owner: str, response_id: str) -> list[Row]:
        """The input items of a response, in order; raises MissingError."""
        self._row(owner, response_id)
        return self._input(response_id)

    def items(self, owner: str, item_ids: Sequence[str]) -> list[Row | None]:
        """Items of any responses of this owner, each as often as it is named; raises LongHistoryError."""
        texts: dict[str, str | None] = {}
        num_bytes = 0
        for item_id in item_ids:
            if item_id not in texts:
                row = self._db.execute(
                    "SELECT i.body FROM items i JOIN responses r ON r.id = i.response_id "
                    "WHERE i.id = ? AND r.owner = ? LIMIT 1",
                    (item_id, owner),
                ).fetchone()
                texts[item_id] = None if row is None else row["body"]
            num_bytes += len(texts[item_id] or "")
            if num_bytes > MAX_HISTORY_BYTES:
                raise LongHistoryError(f"items of more than {MAX_HISTORY_BYTES} bytes")
        return [None if (text := texts[name]) is None else json.loads(text) for name in item_ids]

    def history(self, owner: str, response_id: str) -> list[Row]:
        """All items up to the end of a response, oldest first; they count as used.

        Raises MissingError for the first one that is not there, and LongHistoryError.
        """
        names = {"id": response_id, "owner": owner, "deepest": MAX_CHAIN, "now": self._clock.now()}
        chain = self._db.execute(database.ANCESTORS, names).fetchall()
        if not chain or chain[0]["previous_id"] is not None:
            raise MissingError(chain[0]["previous_id"] if chain else response_id)
        size = self._db.execute(database.SIZE, names).fetchone()
        if size["items"] > MAX_HISTORY_ITEMS or (size["bytes"] or 0) > MAX_HISTORY_BYTES:
            raise LongHistoryError(
                f"{size['items']} items of {size['bytes']} bytes; at most {MAX_HISTORY_ITEMS} items and "
                f"{MAX_HISTORY_BYTES} bytes are read"
            )
        # What can be read is read, be it that nothing can be written.
        self._try(self._db.execute, database.TOUCH, names)
        return [json.loads(row["body"]) for row in self._db.execute(database.HISTORY, names)]

    def fate(self) -> Fate | None:
        """What has become of the file since it was opened; None where it is still the one."""
        return None if self._marks is None else self._marks.fate()

    def join_again(self) -> bool:
        """Join the servers that share the file anew if their list was deleted; whether it was.

        Servers that have started since then took this one for dead, and what it is making for failed.
        """
        if not self._servers.is_lost:
            return False
        self._servers = self._servers.joined_again()
        with transaction(self._db):
            for response_id, status in self._own.items():
                self._db.execute(
                    "UPDATE responses SET place = ?, is_running = 1, "
                    "body = json_set(body, '$.status', ?, '$.error', NULL) WHERE id = ?",
                    (self._servers.place, status, response_id),
                )
        return True

    def leave(self) -> list[Unfinished]:
        """Close files that are gone; returns the responses that are still running, for the next store.

        A file that was deleted can be read as long as it is open; of one that cannot be read, the log tells.
        """
        try:
            found = [each for name in sorted(self._own) if (each := self._unfinished(name)) is not None]
        except sqlite3.Error as error:
            log.error("%d responses that are being made cannot be stored any more: %s", len(self._own), error)
            found = []
        self.close()
        return found

    def take_over(self, responses: Sequence[Unfinished]) -> None:
        """Keep responses that are being made, and began in another file."""
        for each in responses:
            self._db.execute("DELETE FROM responses WHERE id = ?", (each.response["id"],))
            self.begin(each.owner, each.response, each.items)

    def close(self) -> None:
        """Close the file."""
        if self._marks is not None and self._marks.fate() is not None:
            self._marks.remove_log()
        self._db.close()
        self._servers.close()

    def _row(self, owner: str, response_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM responses WHERE id = ? AND owner = ?", (response_id, owner)
        ).fetchone()
        if row is None:
            raise MissingError(response_id)
        return row

    def _unfinished(self, response_id: str) -> Unfinished | None:
        row = self._db.execute("SELECT owner, body FROM responses WHERE id = ?", (response_id,)).fetchone()
        return row and Unfinished(row["owner"], json.loads(row["body"]), self._input(response_id))

    def _input(self, response_id: str) -> list[Row]:
        sql = "SELECT body FROM items WHERE response_id = ? AND NOT is_output ORDER BY position"
        return [json.loads(row["body"]) for row in self._db.execute(sql, (response_id,))]

    def _insert(self, response_id: str, items: Sequence[Row], *, is_output: bool) -> None:
        self._db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
            [
                (response_id, is_output, position, item["id"], json.dumps(item))
                for position, item in enumerate(items)
            ],
        )

    def _measure(self, response_id: str) -> None:
        self._db.execute(
            "UPDATE responses SET num_bytes = length(body) + coalesce(length(events), 0) "
            "+ (SELECT coalesce(sum(length(body)), 0) FROM items WHERE response_id = ?1) WHERE id = ?1",
            (response_id,),
        )

    def _is_being_made(self, row: sqlite3.Row) -> bool:
        if row["place"] == self._servers.place:
            return row["id"] in self._own
        return self._servers.is_alive(row["place"])

    def _bury(self, place: int) -> None:
        """Mark the running responses of a dead server as failed."""
        own = json.dumps(sorted(self._own) if place == self._servers.place else [])
        self._db.execute(
            "UPDATE responses SET is_running = 0, "
            "body = json_set(body, '$.status', 'failed', '$.error', json(?)) "
            "WHERE place = ? AND is_running AND id NOT IN (SELECT value FROM json_each(?))",
            (json.dumps(_FAULT), place, own),
        )

    def _try(self, change: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Make a change that may fail now."""
        try:
            change(*args, **kwargs)
        except sqlite3.OperationalError as error:
            log.warning("the store of responses takes no changes: %s", error)
