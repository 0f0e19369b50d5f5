"""What is stored in SQLite: one file, bounded by age and size. Blocking; all calls come from one thread.

Responses are here, which are stored while they are made; what is stored when it is complete is in `records`.
"""

import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, ParamSpec

from caravan.api.store import database
from caravan.api.store.database import (
    StoreClock,
    delete_bit_by_bit,
    empty_log,
    is_full,
    make_room,
    opened,
    transaction,
)
from caravan.api.store.errors import MissingError
from caravan.api.store.files import Fate, Marks, Reserve, ServerLock
from caravan.api.store.records import Kind, Records, Row, check_size

P = ParamSpec("P")

log = logging.getLogger(__name__)

MAX_CHAIN = 4096
_FAULT = {"code": "server_error", "message": "The server ended before the response was complete."}


class Unfinished(NamedTuple):
    """A running response and its input items, as they are stored."""

    owner: str
    response: Row
    items: list[Row]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What nobody has used for `max_seconds` goes, and more if all together needs over `max_bytes`."""

    max_seconds: float
    max_bytes: int


class Store:
    """Opens or makes the file at `path`; without one, what is stored ends with the process.

    Responses that a dead server was making become failed. Where the file is full, each owner has an equal
    share of it: what goes is of who has the most. Nothing waits for a lock of another program. Raises
    sqlite3.Error and OSError.
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
        self.records = Records(self._db, self._make_room)
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
            now = self._make_room()
            place, previous = self._servers.place, response["previous_response_id"]
            self._db.execute(
                "INSERT INTO responses (id, owner, place, previous_id, is_running, used_at, body) "
                "VALUES (?, ?, ?, ?, 1, ?, ?)",
                (response["id"], owner, place, previous, now, json.dumps(response)),
            )
            self.records.insert(response["id"], items)
        self._own[response["id"]] = response["status"]

    def end(
        self,
        response: Row,
        items: Sequence[Row],
        events: Sequence[bytes] | None,
        added: Sequence[Row] = (),
    ) -> None:
        """Store its outcome, unless it has been deleted meanwhile, and add items to its conversation."""
        packed = None if events is None else zlib.compress(b"\n".join(events), 1)
        with transaction(self._db):
            done = self._db.execute(
                "UPDATE responses SET is_running = 0, body = ?, events = ? WHERE id = ?",
                (json.dumps(response), packed, response["id"]),
            )
            if done.rowcount:
                self.records.insert(response["id"], items, is_output=True)
            if added:
                self.records.extend(response["conversation"]["id"], added, self._clock.note())
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

    def delete(self, owner: str, name: str, kind: Kind = "response") -> None:
        """Forget something and its items; raises MissingError."""
        self.records.row(owner, kind, name)
        delete = partial(self._db.execute, "DELETE FROM responses WHERE id = ?", (name,))
        self._free(delete, partial(delete_bit_by_bit, self._db, name))
        self._own.pop(name, None)

    def delete_item(self, owner: str, conversation: str, item_id: str) -> str:
        """Take an item out of a conversation, and return its JSON.

        Raises MissingError and MissingItemError.
        """
        delete = partial(self.records.remove, owner, conversation, item_id)
        self._free(delete, delete)
        return self.records.text(owner, "conversation", conversation)

    def check(self) -> None:
        """Fail where nothing can be stored now."""
        with transaction(self._db):
            self._make_room()

    def items(self, owner: str, item_ids: Sequence[str]) -> list[Row | None]:
        """Items of any responses and conversations of this owner, each as often as it is named.

        Raises LongHistoryError.
        """
        texts: dict[str, str | None] = {}
        num_bytes = 0
        for item_id in item_ids:
            if item_id not in texts:
                row = self._db.execute(
                    "SELECT i.body FROM items i JOIN responses r ON r.id = i.response_id "
                    "WHERE i.id = ? AND r.owner = ? AND r.kind != 'chat' LIMIT 1",
                    (item_id, owner),
                ).fetchone()
                texts[item_id] = None if row is None else row["body"]
            num_bytes += len(texts[item_id] or "")
            check_size(len(item_ids), num_bytes)
        return [None if (text := texts[name]) is None else json.loads(text) for name in item_ids]

    def history(self, owner: str, response_id: str, kind: Kind = "response") -> list[Row]:
        """All items up to the end of a response, or of a conversation, oldest first; they count as used.

        Raises MissingError for the first one that is not there, and LongHistoryError.
        """
        self.records.row(owner, kind, response_id)
        names = {"id": response_id, "owner": owner, "deepest": MAX_CHAIN, "now": self._clock.now()}
        chain = self._db.execute(database.ANCESTORS, names).fetchall()
        if not chain or chain[0]["previous_id"] is not None:
            raise MissingError(chain[0]["previous_id"] if chain else response_id)
        size = self._db.execute(database.SIZE, names).fetchone()
        check_size(size["items"], size["bytes"] or 0)
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

    def _make_room(self) -> float:
        """Delete what is too old or too much, as a part of the caller's transaction; returns the time."""
        now, limits = self._clock.note(), self._limits
        make_room(self._db, oldest=now - limits.max_seconds, max_bytes=limits.max_bytes)
        return now

    def _free(self, delete: Callable[[], object], delete_in_little_room: Callable[[], object]) -> None:
        """Delete something; on a full disk in another way, with the space that is set aside for it."""
        try:
            delete()
        except sqlite3.OperationalError as error:
            if self._reserve is None or not is_full(error):
                raise
            self._reserve.release()
            try:
                empty_log(self._db)
                delete_in_little_room()
            finally:
                self._reserve.fill()

    def _row(self, owner: str, response_id: str) -> sqlite3.Row:
        return self.records.row(owner, "response", response_id)

    def _unfinished(self, response_id: str) -> Unfinished | None:
        row = self._db.execute("SELECT owner, body FROM responses WHERE id = ?", (response_id,)).fetchone()
        return row and Unfinished(row["owner"], json.loads(row["body"]), self._input(response_id))

    def _input(self, response_id: str) -> list[Row]:
        sql = "SELECT body FROM items WHERE response_id = ? AND NOT is_output ORDER BY position"
        return [json.loads(row["body"]) for row in self._db.execute(sql, (response_id,))]

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
            log.warning("the store takes no changes: %s", error)
