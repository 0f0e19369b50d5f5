"""Stored responses age by time that passes, whatever the machine's clock is set to."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from caravan.api.store import MissingError, Store
from caravan.api.store import database as store_clock
from caravan.api.store.database import Clocks

from tests.api.store.test_store import LIMITS, add

DAY = 86_400.0
YEAR = 365 * DAY
# Later than any response of an older server can be; LIMITS keep for 1000 s.
START = Clocks("first boot", 5000.0, 2_000_000_000.0)

Set = Callable[[Clocks], None]


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Set:
    """Sets the machine's clocks."""

    def set_to(clocks: Clocks) -> None:
        monkeypatch.setattr(store_clock, "look", lambda: clocks)

    set_to(START)
    return set_to


def _has(store: Store, name: str) -> bool:
    try:
        return bool(store.get("me", name)["id"] == name)
    except MissingError:
        return False


@pytest.mark.parametrize("jump", [3600, YEAR, -3600, -YEAR])
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_clock_that_is_set_ages_nothing(
    tmp_path: Path, clocks: Set, jump: float, *, is_restarted: bool
) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "old")
    clocks(START._replace(uptime=START.uptime + 10, wall=START.wall + 10 + jump))
    if is_restarted:
        store.close()
        store = Store(tmp_path / "r.db", LIMITS)
    add(store, "new")
    assert _has(store, "old")
    assert len(store.history("me", "old")) == 2
    clocks(START._replace(uptime=START.uptime + 1005, wall=START.wall))
    add(store, "newest")
    assert [_has(store, name) for name in ("old", "new")] == [True, True]  # "old" was gone on with
    clocks(START._replace(uptime=START.uptime + 1011.5, wall=START.wall))
    add(store, "last")
    assert [_has(store, name) for name in ("old", "new", "newest")] == [False, False, True]


def test_after_another_boot_the_clock_on_the_wall_counts(tmp_path: Path, clocks: Set) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "old")
    clocks(Clocks("second boot", 1.0, START.wall + 600))
    add(store, "new")
    assert _has(store, "old")
    clocks(Clocks("third boot", 1.0, START.wall + 1100))
    add(store, "newest")
    assert [_has(store, name) for name in ("old", "new")] == [False, True]


@pytest.mark.parametrize("gap", [YEAR, -YEAR, -3600])
def test_a_gap_that_would_age_everything_at_once_does_not_count(
    tmp_path: Path, clocks: Set, gap: float, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "old")
    store.close()
    clocks(Clocks("second boot", 1.0, START.wall + gap))
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "new")
    assert _has(store, "old")
    assert "the clock has moved" in caplog.text
    # From here on it ages like any other.
    clocks(Clocks("second boot", 1002.0, START.wall))
    add(store, "newest")
    assert [_has(store, name) for name in ("old", "new")] == [False, False]


@pytest.mark.parametrize("gap", [10, YEAR, -YEAR])
def test_a_file_of_a_server_that_went_by_the_wall_goes_on(tmp_path: Path, clocks: Set, gap: float) -> None:
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    add(store, "old")
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TABLE clock")
    clocks(Clocks("first boot", START.uptime + 10, START.wall + gap))
    store = Store(path, LIMITS)
    add(store, "new")
    assert _has(store, "old")


def test_two_servers_of_one_file_have_one_time(tmp_path: Path, clocks: Set) -> None:
    stores = [Store(tmp_path / "r.db", LIMITS) for _ in range(2)]
    for second in range(0, 2000, 400):
        clocks(START._replace(uptime=START.uptime + second, wall=START.wall + second % 3 * YEAR))
        for number, store in enumerate(stores):
            add(store, f"{second}.{number}")
    kept = [second for second in range(0, 2000, 400) if _has(stores[0], f"{second}.0")]
    assert kept == [800, 1200, 1600]


def test_the_machine_has_clocks() -> None:
    first = store_clock.look()
    second = store_clock.look()
    assert first.boot == second.boot
    assert first.uptime <= second.uptime
