"""Batches and their lines, each of which is answered once. Blocking."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from caravan_schemas.batches import BatchRequest, Status

from caravan.api.batches.stored_files import NoRoomError, StoredFiles, new_id
from caravan.api.batches.values import (
    KEPT_SECONDS,
    UNFINISHED,
    WINDOW_SECONDS,
    Answer,
    Batch,
    File,
    Line,
    Tokens,
)
from caravan.api.store.database import StoreClock, transaction
from caravan.api.store.errors import MissingError

MAX_UNFINISHED = 100
# Batches of a key that are known. Each may have some tens of kilobytes of metadata and faults.
_MOST_KNOWN = 10_000
# What a line takes in the database beside its custom_id, both indexes included.
_LINE_BYTES = 128
_MARKS = ", ".join("?" * len(UNFINISHED))
_IS_UNFINISHED = f"status IN ({_MARKS})"
_TOKENS = ("prompt", "cached", "completion", "reasoning")
_JSON = ("metadata", "times", "faults")
_BEFORE_ALL = b""


class TooManyError(Exception):
    """A key has as many unfinished batches as it may have."""


@dataclass(frozen=True)
class StoredBatches:
    """Is a part of a store, over its connection. What belongs to another owner is missing."""

    db: sqlite3.Connection
    clock: StoreClock
    files: StoredFiles

    def create(self, owner: str, place: int, request: BatchRequest) -> Batch:
        """Begin a batch of a file. Raises MissingError and TooManyError."""
        after = request.output_expires_after
        with transaction(self.db):
            self.files.get(owner, request.input_file_id)
            count = f"SELECT count(*) FROM batches WHERE owner = ? AND {_IS_UNFINISHED}"  # noqa: S608  # nosec B608
            if self.db.execute(count, (owner, *UNFINISHED)).fetchone()[0] >= MAX_UNFINISHED:
                raise TooManyError
            self._forget_ended(owner)
            now, name = int(self.clock.note()), new_id("batch_")
            self.db.execute(
                "INSERT INTO batches (id, owner, place, status, input_file_id, endpoint, metadata, "
                "output_seconds, created_at, expires_at) VALUES (?, ?, ?, 'validating', ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    owner,
                    place,
                    request.input_file_id,
                    request.endpoint,
                    None if request.metadata is None else json.dumps(request.metadata),
                    KEPT_SECONDS if after is None else after.seconds,
                    now,
                    now + WINDOW_SECONDS,
                ),
            )
        return self.get(owner, name)

    def get(self, owner: str, name: str) -> Batch:
        """Return a batch; raises MissingError."""
        row = self.db.execute("SELECT * FROM batches WHERE id = ? AND owner = ?", (name, owner)).fetchone()
        if row is None:
            raise MissingError(name)
        return _batch(row)

    def page(self, owner: str, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """Return some of an owner's batches, the newest first, and whether there are more.

        Raises MissingError for `after`.
        """
        first = 2**62 if after is None else self.get(owner, after).number
        rows = self.db.execute(
            "SELECT * FROM batches WHERE owner = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (owner, first, limit + 1),
        ).fetchall()
        return [_batch(row) for row in rows[:limit]], len(rows) > limit

    def unfinished(self) -> list[tuple[Batch, int]]:
        """Return all that are unfinished, the oldest first, each with the place of its server."""
        sql = f"SELECT * FROM batches WHERE {_IS_UNFINISHED} ORDER BY number"  # noqa: S608  # nosec B608
        return [(_batch(row), row["place"]) for row in self.db.execute(sql, UNFINISHED)]

    def adopt(self, batch: Batch, old_place: int, place: int) -> bool:
        """Make a batch of a dead server this one's; whether it was not another's before."""
        adopted = self.db.execute(
            "UPDATE batches SET place = ? WHERE number = ? AND place = ?", (place, batch.number, old_place)
        )
        return bool(adopted.rowcount)

    def move(self, batch: Batch, status: Status, sources: Sequence[Status]) -> Batch:
        """Give a batch another state, if it is in one of these; returns it as it is then."""
        with transaction(self.db):
            now = self.get(batch.owner, batch.id)
            if now.status not in sources:
                return now
            times = {**now.times, status: int(self.clock.note())}
            self.db.execute(
                "UPDATE batches SET status = ?, times = ? WHERE number = ?",
                (status, json.dumps(times), batch.number),
            )
        return self.get(batch.owner, batch.id)

    def is_over(self, batch: Batch) -> bool:
        """Whether its time is over."""
        return self.clock.now() >= batch.expires_at

    def add_lines(self, batch: Batch, lines: Sequence[Line]) -> None:
        """Add what has been read of the input. Raises NoRoomError.

        It counts among the owner's bytes: a hundred batches may be of one file.
        """
        size = sum(_LINE_BYTES + len(line.custom_id.encode()) for line in lines)
        with transaction(self.db):
            if size > self.files.room(batch.owner):
                raise NoRoomError(f"{self.files.max_bytes} bytes")
            self.db.execute(
                "UPDATE batches SET num_bytes = num_bytes + ? WHERE number = ?", (size, batch.number)
            )
            self.db.executemany(
                "INSERT INTO lines (batch, position, custom_id, start, length, turn) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (batch.number, line.position, line.custom_id, line.start, line.length, line.turn)
                    for line in lines
                ],
            )

    def accept(self, batch: Batch, num_total: int, model: str | None) -> Batch:
        """Note that all lines have been read, and are as they should be."""
        self.db.execute(
            "UPDATE batches SET num_total = ?, model = ? WHERE number = ?", (num_total, model, batch.number)
        )
        return self.move(batch, "in_progress", ("validating",))

    def refuse(self, batch: Batch, faults: Sequence[dict[str, Any]]) -> Batch:
        """Fail a batch over its input."""
        self.drop_lines(batch)
        self.db.execute(
            "UPDATE batches SET faults = ? WHERE number = ?", (json.dumps(list(faults)), batch.number)
        )
        return self.move(batch, "failed", ("validating",))

    def to_do(self, batch: Batch, after: Line | None, limit: int) -> list[Line]:
        """Return the next lines without an answer, in their turns."""
        turn, position = (_BEFORE_ALL, -1) if after is None else (after.turn, after.position)
        rows = self.db.execute(
            "SELECT position, custom_id, start, length, turn FROM lines "
            "WHERE batch = ? AND answer IS NULL AND (turn, position) > (?, ?) "
            "ORDER BY turn, position LIMIT ?",
            (batch.number, turn, position, limit),
        )
        return [Line(**dict(row)) for row in rows]

    def answer(self, batch: Batch, line: Line, answer: Answer) -> bool:
        """Keep the answer of a line, with all that is counted of it, unless it has one; whether it is."""
        with transaction(self.db):
            kept = self.db.execute(
                "UPDATE lines SET is_error = ?, answer = ? WHERE batch = ? AND position = ? "
                "AND answer IS NULL",
                (answer.is_error, answer.text, batch.number, line.position),
            )
            if not kept.rowcount:
                return False
            self.db.execute(
                "UPDATE batches SET num_completed = num_completed + ?, num_failed = num_failed + ?, "
                "num_bytes = num_bytes + ?, prompt = prompt + ?, cached = cached + ?, "
                "completion = completion + ?, reasoning = reasoning + ? WHERE number = ?",
                (
                    not answer.is_error,
                    answer.is_error,
                    len(answer.text),
                    *(getattr(answer.tokens, name) for name in _TOKENS),
                    batch.number,
                ),
            )
        return True

    def answers(self, batch: Batch, after: int, limit: int) -> list[tuple[int, bool, bytes]]:
        """Return the next answers in the order of the input: position, whether it is an error, text."""
        rows = self.db.execute(
            "SELECT position, is_error, answer FROM lines WHERE batch = ? AND position > ? "
            "AND answer IS NOT NULL ORDER BY position LIMIT ?",
            (batch.number, after, limit),
        )
        return [(row["position"], bool(row["is_error"]), row["answer"]) for row in rows]

    def finish(self, batch: Batch, status: Status, outputs: Sequence[tuple[bool, str, int]]) -> Batch:
        """End a batch with the files of answers that have been written: of errors or not, id and size."""
        with transaction(self.db):
            names: dict[bool, File] = {}
            for is_error, name, size in outputs:
                kind = "error" if is_error else "output"
                filename = f"{batch.id}_{kind}.jsonl"
                names[is_error] = self.files.add(
                    batch.owner, name, "batch_output", filename, size, batch.output_seconds
                )
            times = {**batch.times, status: int(self.clock.note())}
            self.db.execute(
                "UPDATE batches SET status = ?, times = ?, output_file_id = ?, error_file_id = ? "
                "WHERE number = ?",
                (
                    status,
                    json.dumps(times),
                    names[False].id if False in names else None,
                    names[True].id if True in names else None,
                    batch.number,
                ),
            )
            self.drop_lines(batch)
        return self.get(batch.owner, batch.id)

    def delete_old(self) -> None:
        """Forget batches that ended long ago."""
        oldest = self.clock.now() - WINDOW_SECONDS - KEPT_SECONDS
        self.db.execute(
            f"DELETE FROM batches WHERE created_at < ? AND NOT {_IS_UNFINISHED}",  # noqa: S608  # nosec B608
            (oldest, *UNFINISHED),
        )

    def drop_lines(self, batch: Batch) -> None:
        """Forget what has been read of the input."""
        self.db.execute("DELETE FROM lines WHERE batch = ?", (batch.number,))
        self.db.execute("UPDATE batches SET num_bytes = 0 WHERE number = ?", (batch.number,))

    def _forget_ended(self, owner: str) -> None:
        """Make place for one more among the batches of an owner that are known."""
        self.db.execute(
            f"DELETE FROM batches WHERE owner = ? AND NOT {_IS_UNFINISHED} AND number <= "  # noqa: S608  # nosec B608
            "(SELECT number FROM batches WHERE owner = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (owner, *UNFINISHED, owner, _MOST_KNOWN - 1),
        )


def _batch(row: sqlite3.Row) -> Batch:
    values = {name: row[name] for name in Batch.__dataclass_fields__ if name != "tokens"}
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Batch(**values, tokens=Tokens(**{name: row[name] for name in _TOKENS}))
