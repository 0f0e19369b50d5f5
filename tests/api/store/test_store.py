"""What the store of responses keeps, for whom and for how long."""

import contextlib
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from caravan.api.store import Limits, LongHistoryError, MissingError, Store
from caravan.api.store import database as store_clock
from caravan.api.store import records as records_module
from caravan.api.store.database import is_locked

from tests.api.store import old_versions

LIMITS = Limits(max_seconds=1000, max_bytes=2**30)


def response(name: str, previous: str | None = None, status: str = "in_progress") -> dict[str, Any]:
    """As much of a response as the store reads."""
    return {"id": name, "previous_response_id": previous, "status": status}


def add(store: Store, name: str, previous: str | None = None, text: str = "") -> None:
    """A response that is complete, with an item in and an item out."""
    store.begin("me", response(name, previous), [{"id": f"in {name}", "text": text}])
    store.end(response(name, previous, "completed"), [{"id": f"out {name}"}], None)


def test_a_conversation_is_read_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    for name, previous in (("a", None), ("b", "a"), ("other", None), ("c", "b")):
        add(store, name, previous)
    ids = [row["id"] for row in store.history("me", "c")]
    assert ids == ["in a", "out a", "in b", "out b", "in c", "out c"]
    store.delete("me", "a")
    with pytest.raises(MissingError, match="a"):
        store.history("me", "c")
    assert store.items("me", ["in a"]) == [None]
    assert store.items("me", ["out b"]) == [{"id": "out b"}]


def test_a_conversation_is_bounded_in_bytes_and_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of which the model sees next to nothing."""
    store = Store(tmp_path / "r.db", LIMITS)
    for name, previous in (("a", None), ("b", "a"), ("c", "b")):
        add(store, name, previous, text="é" * 1000)
    monkeypatch.setattr(records_module, "MAX_HISTORY_BYTES", 15_000)
    assert len(store.history("me", "b")) == 4
    with pytest.raises(LongHistoryError, match="6 items of 18"):
        store.history("me", "c")
    monkeypatch.setattr(records_module, "MAX_HISTORY_ITEMS", 3)
    assert len(store.history("me", "a")) == 2
    with pytest.raises(LongHistoryError, match="4 items"):
        store.history("me", "b")


def test_items_that_are_named_again_and_again_count_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "a", text="x" * 1000)
    found = store.items("me", ["in a", "none", "in a"])
    assert [row and row["id"] for row in found] == ["in a", None, "in a"]
    monkeypatch.setattr(records_module, "MAX_HISTORY_BYTES", 3000)
    with pytest.raises(LongHistoryError):
        store.items("me", ["in a"] * 3)


def test_others_see_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "a")
    asks = (store.get, store.history, store.events, store.delete)
    for ask in asks:
        with pytest.raises(MissingError):
            ask("you", "a")
    assert store.items("you", ["in a"]) == [None]
    assert store.get("me", "a")["status"] == "completed"


def test_what_nobody_uses_goes_and_what_is_gone_on_with_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    start = store_clock.look()
    for name in ("old", "used"):
        add(store, name)
    monkeypatch.setattr(store_clock, "look", lambda: start._replace(uptime=start.uptime + 900))
    store.history("me", "used")
    monkeypatch.setattr(store_clock, "look", lambda: start._replace(uptime=start.uptime + 1100))
    add(store, "new")
    assert store.get("me", "used")
    with pytest.raises(MissingError):
        store.get("me", "old")
    assert store.items("me", ["in old"]) == [None]


def test_the_file_stays_within_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = Store(path, Limits(max_seconds=1000, max_bytes=500_000))
    for number in range(100):
        add(store, f"r{number}", text="x" * 20_000)
    assert store.get("me", "r99")
    with pytest.raises(MissingError):
        store.get("me", "r0")
    store.close()
    assert path.stat().st_size < 700_000


def test_what_is_deleted_is_not_left_in_the_file(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "a", text="a secret of mine")
    store.delete("me", "a")
    store.close()
    assert all(b"a secret of mine" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_deleted_response_stays_deleted_when_it_ends(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    store.begin("me", response("a"), [])
    store.delete("me", "a")
    store.end(response("a", None, "completed"), [{"id": "out a"}], None)
    with pytest.raises(MissingError):
        store.get("me", "a")
    assert store.items("me", ["out a"]) == [None]


_OTHER = """
import sys
from pathlib import Path
from caravan.api.store import Limits, Store
store = Store(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
store.begin("me", {"id": sys.argv[2], "previous_response_id": None, "status": "in_progress"}, [])
print("begun", flush=True)
sys.stdin.read()
"""


def test_what_another_server_makes_fails_only_when_that_one_dies(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    command = [sys.executable, "-c", _OTHER, str(path), "other"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"begun\n"
            store = Store(path, LIMITS)
            store.begin("me", response("mine"), [])
            assert store.get("me", "other")["status"] == "in_progress"
        finally:
            other.kill()
            other.wait()
        failed = store.get("me", "other")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
        assert store.get("me", "mine")["status"] == "in_progress"
        store.close()
    with_nobody_left = Store(path, LIMITS)
    assert with_nobody_left.get("me", "mine")["status"] == "failed"


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match="99"):
        Store(path, LIMITS)


def test_nobody_else_on_the_machine_can_read_the_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    add(store, "a")
    assert [file.stat().st_mode & 0o077 for file in tmp_path.iterdir()] == [0] * len(list(tmp_path.iterdir()))
    assert len(list(tmp_path.iterdir())) >= 3


def add_for(store: Store, owner: str, name: str, text: str) -> None:
    store.begin(owner, response(name), [{"id": f"in {name}", "text": text}])
    store.end(response(name, None, "completed"), [], None)


def test_who_stores_much_pushes_out_their_own(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", Limits(max_seconds=1000, max_bytes=1_000_000))
    for number in range(10):
        add_for(store, "modest", f"m{number}", "x" * 20_000)
    for number in range(200):
        add_for(store, "greedy", f"g{number}", "x" * 20_000)
    for number in range(10):
        assert store.get("modest", f"m{number}")["status"] == "completed"
    assert store.get("greedy", "g199")
    with pytest.raises(MissingError):
        store.get("greedy", "g0")


def test_who_is_alone_may_use_all_of_the_space_and_makes_room_for_others(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", Limits(max_seconds=1000, max_bytes=1_000_000))

    def kept(owner: str, count: int) -> int:
        found = 0
        for number in range(count):
            try:
                found += bool(store.get(owner, f"{owner}{number}"))
            except MissingError:
                continue
        return found

    for number in range(60):
        add_for(store, "a", f"a{number}", "x" * 20_000)
    alone = kept("a", 60)
    assert alone > 38
    for number in range(60):
        add_for(store, "b", f"b{number}", "x" * 20_000)
    assert 0.3 * alone < kept("a", 60) < 0.6 * alone
    assert 0.4 * alone < kept("b", 60) < 0.7 * alone


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with contextlib.closing(sqlite3.connect(path)) as first:
        first.executescript(old_versions.FIRST)
    store = Store(path, LIMITS)
    assert store.get("me", "old")["status"] == "completed"
    assert store.history("me", "old") == [{"id": "item", "text": "what was said"}]
    add(store, "new")
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        sizes = dict(db.execute("SELECT id, num_bytes FROM responses"))
    assert sizes["old"] == len('{"id": "old", "status": "completed"}{"id": "item", "text": "what was said"}')
    assert sizes["new"] > 50


def locking(path: Path) -> sqlite3.Connection:
    """Another program that writes, and does not come to an end."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_lock_is_an_error_soon_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    add(store, "a")
    with contextlib.closing(locking(path)):
        for change, name in ((partial(add, store), "b"), (partial(store.delete, "me"), "a")):
            with pytest.raises(sqlite3.OperationalError) as caught:
                change(name)
            assert is_locked(caught.value)
        assert store.get("me", "a")["status"] == "completed"
        assert [row["id"] for row in store.history("me", "a")] == ["in a", "out a"]
    add(store, "b")
    store.delete("me", "a")


def test_what_an_earlier_server_left_is_failed_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    store.begin("me", response("left"), [])
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version")
        again = Store(path, LIMITS)
        # As if it could not have been repaired when the file was opened.
        other.execute("UPDATE responses SET is_running = 1, body = json_set(body, '$.status', 'in_progress')")
        other.execute("BEGIN IMMEDIATE")
        failed = again.get("me", "left")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
        other.execute("ROLLBACK")
    again.begin("me", response("mine"), [])
    assert again.get("me", "mine")["status"] == "in_progress"
    assert again.get("me", "left")["status"] == "failed"
    again.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT id, is_running FROM responses")) == {"left": 0, "mine": 1}


_IN_LITTLE_ROOM = """
import resource, signal, sqlite3, sys
from pathlib import Path
from caravan.api.store.database import is_full
from caravan.api.store import Limits, Store
store = Store(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
names = []
try:
    while True:
        row = {"id": f"r{len(names)}", "previous_response_id": None, "status": "completed"}
        store.begin("me", row, [{"id": f"i{len(names)}", "text": "a secret of mine " * 1000}])
        names.append(row["id"])
except sqlite3.OperationalError as error:
    assert is_full(error), error
assert len(names) > 10, names
for name in names[:5]:
    assert store.get("me", name)
    store.delete("me", name)
for number in range(3):
    row = {"id": f"late{number}", "previous_response_id": None, "status": "completed"}
    store.begin("me", row, [{"id": f"late{number}", "text": "y" * 17_000}])
assert store.get("me", "late2")
assert store.get("me", names[-1])
print("done")
"""


def test_what_is_full_can_be_deleted_from(tmp_path: Path) -> None:
    """No file may grow beyond a megabyte, as on a disk that is full or a quota that is used up."""
    command = [sys.executable, "-c", _IN_LITTLE_ROOM, str(tmp_path / "r.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout == "done\n", ended.stderr
