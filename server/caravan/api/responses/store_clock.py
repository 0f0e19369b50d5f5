"""The time by which stored responses age, which goes on whatever is done to the machine's clock."""

import logging
import sqlite3
import time
import uuid
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Where the system tells no boot from another, each process is one.
_OWN_ID = uuid.uuid4().hex


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
