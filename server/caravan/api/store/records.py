"""Chat completions and conversations in the store, and pages: of chats, and of the items of anything."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from caravan.api.store.database import transaction
from caravan.api.store.errors import KnownItemError, LongHistoryError, MissingError, MissingItemError

Row = dict[str, Any]
Kind = Literal["response", "chat", "conversation"]
Order = Literal["asc", "desc"]

# Of a whole conversation. What the model does not see again, such as thoughts, is in no context's count.
MAX_HISTORY_ITEMS = 32_768
MAX_HISTORY_BYTES = 16 * 1024 * 1024
# A page that has so much ends early.
MAX_PAGE_BYTES = 4 * 1024 * 1024
# Chats that one search looks at; then it is another owner's turn.
_MAX_SEARCHED = 512
_SIZE = "SELECT count(*) AS items, sum(length(CAST(body AS BLOB))) AS bytes FROM items WHERE response_id = ?"
_ITEMS = {
    "asc": "SELECT id, body FROM items WHERE response_id = ? AND is_output = 0 AND position > ? "
    "ORDER BY position LIMIT ?",
    "desc": "SELECT id, body FROM items WHERE response_id = ? AND is_output = 0 AND position < ? "
    "ORDER BY position DESC LIMIT ?",
}
_CHATS = {
    "asc": "SELECT id, model, metadata FROM responses WHERE owner = ? AND kind = 'chat' AND id > ? "
    "ORDER BY id LIMIT ?",
    "desc": "SELECT id, model, metadata FROM responses WHERE owner = ? AND kind = 'chat' AND id < ? "
    "ORDER BY id DESC LIMIT ?",
}
# Before and behind all ids and positions.
_FIRST_ID = {"asc": "", "desc": "~"}
_FIRST_POSITION = {"asc": -1, "desc": 2**62}


def check_size(num_items: int, num_bytes: int) -> None:
    """Raise LongHistoryError for items that are too many or too long to be one conversation."""
    if num_items > MAX_HISTORY_ITEMS or num_bytes > MAX_HISTORY_BYTES:
        raise LongHistoryError(
            f"{num_items} items of {num_bytes} bytes; at most {MAX_HISTORY_ITEMS} items and "
            f"{MAX_HISTORY_BYTES} bytes are read"
        )


class HasRecords(Protocol):
    """A store."""

    @property
    def records(self) -> "Records": ...


@dataclass(frozen=True, kw_only=True)
class Record:
    """A chat completion with its messages, or a conversation with its items.

    `body` is a JSON object, which lacks the metadata.
    """

    id: str
    owner: str
    kind: Kind
    body: str
    metadata: Mapping[str, str]
    model: str | None = None
    items: Sequence[Row] = ()
    # Unlike a response, it adds to none.
    conversation: None = None

    @property
    def num_bytes(self) -> int:
        """About how much memory it takes."""
        return len(self.body) + len(json.dumps(self.items))

    def keep(self, store: HasRecords) -> None:
        """Store it."""
        store.records.add(self)

    def shortened(self) -> None:
        """Nothing of it is worth while."""


class Page(NamedTuple):
    """Some of a list, as JSON, and whether there is more of it."""

    ids: list[str]
    texts: list[str]
    has_more: bool


class Found(NamedTuple):
    """Chats that were found, as JSON, and the last id that was looked at; None where there are no more."""

    ids: list[str]
    texts: list[str]
    last: str | None


class Records:
    """Is a part of a store, over its connection. What belongs to another owner is missing.

    `make_room` is called in each transaction that adds something, and returns the time.
    """

    def __init__(self, db: sqlite3.Connection, make_room: Callable[[], float]) -> None:
        self._db = db
        self._make_room = make_room

    def row(self, owner: str, kind: Kind, name: str) -> sqlite3.Row:
        """Return the row of something; raises MissingError."""
        row: sqlite3.Row | None = self._db.execute(
            "SELECT * FROM responses WHERE id = ? AND owner = ? AND kind = ?", (name, owner, kind)
        ).fetchone()
        if row is None:
            raise MissingError(name)
        return row

    def text(self, owner: str, kind: Kind, name: str) -> str:
        """Return the JSON of something; raises MissingError."""
        return _text(self.row(owner, kind, name))

    def add(self, record: Record) -> None:
        """Store something that is complete, once."""
        with transaction(self._db):
            now, name = self._make_room(), record.id
            self._db.execute(
                "INSERT OR IGNORE INTO responses "
                "(id, owner, place, is_running, used_at, kind, model, metadata, body) "
                "VALUES (?, ?, 0, 0, ?, ?, ?, ?, ?)",
                (name, record.owner, now, record.kind, record.model, _labels(record.metadata), record.body),
            )
            self.insert(name, record.items)

    def label(self, owner: str, kind: Kind, name: str, metadata: Mapping[str, str]) -> str:
        """Give something other metadata; returns its JSON."""
        with transaction(self._db):
            self.row(owner, kind, name)
            self._db.execute("UPDATE responses SET metadata = ? WHERE id = ?", (_labels(metadata), name))
            return self.text(owner, kind, name)

    def chats(
        self,
        owner: str,
        after: str | None,
        order: Order,
        model: str | None,
        metadata: Mapping[str, str],
        limit: int,
    ) -> Found:
        """Search the next chats for at most `limit` of this model that have all of this metadata."""
        ids: list[str] = []
        texts: list[str] = []
        num_bytes = 0
        first = _FIRST_ID[order] if after is None else after
        rows = self._db.execute(_CHATS[order], (owner, first, _MAX_SEARCHED)).fetchall()
        for row in rows:
            if model in (None, row["model"]) and metadata.items() <= json.loads(row["metadata"]).items():
                ids.append(row["id"])
                texts.append(self.text(owner, "chat", row["id"]))
                num_bytes += len(texts[-1])
            if len(ids) == limit or num_bytes > MAX_PAGE_BYTES:
                return Found(ids, texts, row["id"])
        return Found(ids, texts, rows[-1]["id"] if len(rows) == _MAX_SEARCHED else None)

    def items(self, owner: str, kind: Kind, name: str, after: str | None, limit: int, order: Order) -> Page:
        """Return a page of the input items of a response, messages of a chat, or items of a conversation.

        Raises MissingError, and MissingItemError for the one after which the page begins.
        """
        self.row(owner, kind, name)
        first = _FIRST_POSITION[order] if after is None else self._item(name, after)["position"]
        return _page(self._db.execute(_ITEMS[order], (name, first, limit + 1)), limit)

    def item(self, owner: str, name: str, item_id: str) -> str:
        """Return an item of a conversation; raises MissingError and MissingItemError."""
        self.row(owner, "conversation", name)
        text: str = self._item(name, item_id)["body"]
        return text

    def append(self, owner: str, name: str, items: Sequence[Row]) -> None:
        """Add all of these items to a conversation, or none.

        Raises MissingError, KnownItemError and LongHistoryError.
        """
        with transaction(self._db):
            self.row(owner, "conversation", name)
            # It is in use, and nothing that makes room for it.
            newest = "UPDATE responses SET used_at = (SELECT max(used_at) FROM responses) WHERE id = ?"
            self._db.execute(newest, (name,))
            now = self._make_room()
            if known := self._known(name, items):
                raise KnownItemError(min(known))
            self.extend(name, items, now)
            size = self._db.execute(_SIZE, (name,)).fetchone()
            check_size(size["items"], size["bytes"])

    def extend(self, name: str, items: Sequence[Row], now: float) -> None:
        """Add items that a conversation does not have yet, if it is still there; a part of a transaction.

        Whoever calls it has seen whose conversation it is.
        """
        if not self._db.execute(
            "UPDATE responses SET used_at = ? WHERE id = ? AND kind = 'conversation'", (now, name)
        ).rowcount:
            return
        known = self._known(name, items)
        new = {item["id"]: item for item in items if item["id"] not in known}
        last = "SELECT coalesce(max(position), -1) FROM items WHERE response_id = ? AND is_output = 0"
        self.insert(name, list(new.values()), first=self._db.execute(last, (name,)).fetchone()[0] + 1)

    def remove(self, owner: str, name: str, item_id: str) -> None:
        """Take an item out of a conversation; raises MissingError and MissingItemError."""
        with transaction(self._db):
            self.item(owner, name, item_id)
            self._db.execute("DELETE FROM items WHERE response_id = ? AND id = ?", (name, item_id))
            self._measure(name)

    def insert(self, name: str, items: Sequence[Row], *, is_output: bool = False, first: int = 0) -> None:
        """Add items from a position on, and note how much it all takes; a part of a transaction."""
        self._db.executemany(
            "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?, ?)",
            [
                (name, is_output, position, item["id"], json.dumps(item))
                for position, item in enumerate(items, first)
            ],
        )
        self._measure(name)

    def _measure(self, name: str) -> None:
        self._db.execute(
            "UPDATE responses SET num_bytes = length(body) + coalesce(length(events), 0) "
            "+ (SELECT coalesce(sum(length(body)), 0) FROM items WHERE response_id = ?1) WHERE id = ?1",
            (name,),
        )

    def _item(self, name: str, item_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute(
            "SELECT position, body FROM items WHERE response_id = ? AND is_output = 0 AND id = ?",
            (name, item_id),
        ).fetchone()
        if row is None:
            raise MissingItemError(item_id)
        return row

    def _known(self, name: str, items: Sequence[Row]) -> set[str]:
        """Find ids of these items that something has already."""
        sql = "SELECT id FROM items WHERE response_id = ? AND id IN (SELECT value FROM json_each(?))"
        ids = json.dumps([item["id"] for item in items])
        return {row["id"] for row in self._db.execute(sql, (name, ids))}


def _text(row: sqlite3.Row) -> str:
    """Write a row as JSON, with the metadata that it has beside its body."""
    body: str = row["body"]
    return body if row["metadata"] is None else f'{body[:-1]},"metadata":{row["metadata"]}}}'


def _labels(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), separators=(",", ":"))


def _page(rows: Iterable[sqlite3.Row], limit: int) -> Page:
    ids: list[str] = []
    texts: list[str] = []
    num_bytes = 0
    for row in rows:
        if len(ids) == limit or num_bytes > MAX_PAGE_BYTES:
            return Page(ids, texts, has_more=True)
        ids.append(row["id"])
        texts.append(row["body"])
        num_bytes += len(row["body"])
    return Page(ids, texts, has_more=False)
