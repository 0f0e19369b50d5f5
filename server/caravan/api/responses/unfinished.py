"""Responses that are being made, taken out of a file that is gone and put into the one after it."""

import json
import logging
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unfinished:
    """A response that is being made, and what it answers, as they are stored."""

    owner: str
    response: dict[str, Any]
    items: list[dict[str, Any]]


def unfinished(db: sqlite3.Connection, ids: Collection[str]) -> list[Unfinished]:
    """Those of `ids` that the file has. A file that was deleted can be read as long as it is open; of one
    that cannot be read, the log tells.
    """
    try:
        return [found for response_id in sorted(ids) if (found := _found(db, response_id)) is not None]
    except sqlite3.Error as error:
        log.error("%d responses that are being made cannot be stored any more: %s", len(ids), error)
        return []


def _found(db: sqlite3.Connection, response_id: str) -> Unfinished | None:
    row = db.execute("SELECT owner, body FROM responses WHERE id = ?", (response_id,)).fetchone()
    if row is None:
        return None
    items = db.execute(
        "SELECT body FROM items WHERE response_id = ? AND NOT is_output ORDER BY position", (response_id,)
    )
    return Unfinished(row["owner"], json.loads(row["body"]), [json.loads(item["body"]) for item in items])
