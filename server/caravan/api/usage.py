"""What each key has used of each model, day by day, in a SQLite file that several servers may share.

Whatever becomes of the file, no request waits for it or fails because of it.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from caravan_schemas.ops import KeyUsage

from caravan.api.store import StorageBusyError
from caravan.auth.principal import Principal
from caravan.errors import MemoryShortError
from caravan.observability.request_metrics import RequestMetrics
from caravan.runtime.threads import in_busy_thread, in_thread, to_the_end

log = logging.getLogger(__name__)

# Days on which anything was used. A clock that is wrong for a while thereby deletes nothing.
_MOST_DAYS = 400
# Rows in memory while the file cannot be written.
_MOST_PENDING = 10_000
_PAUSE_SECONDS = 1.0
_RETRY_SECONDS = 30.0
_LOCKED_SECONDS = 5.0
_NUMBERS = ("num_model_requests", "input_tokens", "input_cached_tokens", "output_tokens")
_TABLE = """
CREATE TABLE IF NOT EXISTS usage (
    day TEXT NOT NULL, api_key_id TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL,
    num_model_requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL, input_cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, PRIMARY KEY (day, api_key_id, model)) WITHOUT ROWID"""
_ADD = """
INSERT INTO usage VALUES (:day, :api_key_id, :model, :key,
    :num_model_requests, :input_tokens, :input_cached_tokens, :output_tokens)
ON CONFLICT (day, api_key_id, model) DO UPDATE SET key = excluded.key,
    num_model_requests = num_model_requests + excluded.num_model_requests,
    input_tokens = input_tokens + excluded.input_tokens,
    input_cached_tokens = input_cached_tokens + excluded.input_cached_tokens,
    output_tokens = output_tokens + excluded.output_tokens"""
_SINCE = "SELECT * FROM usage WHERE day >= ? ORDER BY day, key, model, api_key_id"
_FORGET = """
DELETE FROM usage WHERE day < (
    SELECT min(day) FROM (SELECT DISTINCT day FROM usage ORDER BY day DESC LIMIT ?))"""


def add(path: Path, rows: Sequence[KeyUsage]) -> None:
    """Add to what the file has; only its owner may read it. Raises sqlite3.Error and OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    with contextlib.closing(sqlite3.connect(path, timeout=_LOCKED_SECONDS)) as db, db:
        db.execute(_TABLE)
        days = {row.day for row in rows}
        known = {day for day in days if db.execute("SELECT 1 FROM usage WHERE day = ?", (day,)).fetchone()}
        db.executemany(_ADD, [row.model_dump() for row in rows])
        if days - known:
            db.execute(_FORGET, (_MOST_DAYS,))


def read(path: Path, num_days: int) -> list[KeyUsage]:
    """Read what was used in the last days, today among them, the oldest first. Raises StorageBusyError."""
    since = (_today() - timedelta(days=num_days - 1)).isoformat()
    try:
        if not path.exists() or not path.stat().st_size:
            return []
        with contextlib.closing(sqlite3.connect(path, timeout=_LOCKED_SECONDS)) as db:
            db.row_factory = sqlite3.Row
            rows = db.execute(_SINCE, (since,)).fetchall()
    except (sqlite3.Error, OSError) as error:
        raise StorageBusyError(f"What keys have used cannot be read from {path}: {error}.") from error
    return [KeyUsage.model_validate(dict(row)) for row in rows]


class UsageBook:
    """Counts on the event loop, and writes in a thread what has come together in a moment.

    What the file does not take stays in memory and is tried again; the log says so once. Without a path,
    nothing is counted, and neither is what has no key.
    """

    def __init__(self, path: Path | None, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._path = path
        self._pause_seconds = pause_seconds
        self._pending: dict[tuple[str, str, str], KeyUsage] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_broken = False

    def count(self, who: Principal, entry: RequestMetrics) -> None:
        """Note a request that has ended, if a model was given any of it."""
        if self._path is None or not who.id or entry.model is None or not entry.num_prompt_tokens:
            return
        num_prompt_tokens = entry.num_used_prompt_tokens
        row = KeyUsage(
            day=_today().isoformat(),
            api_key_id=who.id,
            key=who.name,
            model=entry.model,
            num_model_requests=1,
            input_tokens=num_prompt_tokens,
            input_cached_tokens=min(entry.num_cached_tokens, num_prompt_tokens),
            output_tokens=entry.num_completion_tokens,
        )
        self._put([row])
        self._write_in(_RETRY_SECONDS if self._is_broken else self._pause_seconds)

    async def read(self, num_days: int) -> list[KeyUsage]:
        """Read what was used in the last days; what cannot be written yet comes after what has been.

        Raises StorageBusyError.
        """
        if self._path is None:
            return []
        await to_the_end(self._write())
        rows = await in_busy_thread(read, self._path, num_days)
        return rows + [row.model_copy() for row in self._pending.values()]

    async def aclose(self) -> None:
        """Write the rest."""
        if self._timer is not None:
            self._timer.cancel()
        await to_the_end(self._write())
        if self._timer is not None:
            self._timer.cancel()

    def _put(self, rows: Iterable[KeyUsage]) -> None:
        for row in rows:
            place = (row.day, row.api_key_id, row.model)
            if (known := self._pending.get(place)) is not None:
                for name in _NUMBERS:
                    setattr(known, name, getattr(known, name) + getattr(row, name))
            elif len(self._pending) < _MOST_PENDING:
                self._pending[place] = row

    def _write_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        async with self._writing:
            rows, self._pending = [*self._pending.values()], {}
            if self._path is None or not rows:
                return
            try:
                await in_thread(add, self._path, rows)
            except (sqlite3.Error, OSError, MemoryShortError) as error:
                self._put(rows)
                if not self._is_broken:
                    log.warning("what keys use is kept in memory alone: %s: %s", self._path, error)
                self._is_broken = True
                self._write_in(_RETRY_SECONDS)
            else:
                if self._is_broken:
                    log.info("what keys use is written to %s again", self._path)
                self._is_broken = False


def _today() -> date:
    return datetime.now(UTC).date()
