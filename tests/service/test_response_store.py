"""What the store of responses keeps, for whom and for how long."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from server.service.responses.store import Limits, MissingResponseError, ResponseStore

LIMITS = Limits(max_seconds=1000, max_bytes=2**30)


def response(name: str, previous: str | None = None, status: str = "in_progress") -> dict[str, Any]:
    """As much of a response as the store reads."""
    return {"id": name, "previous_response_id": previous, "status": status}


def add(store: ResponseStore, name: str, previous: str | None = None, text: str = "") -> None:
    """A response that is complete, with an item in and an item out."""
    store.begin("me", response(name, previous), [{"id": f"in {name}", "text": text}])
    store.end(response(name, previous, "completed"), [{"id": f"out {name}"}], None)


def test_a_conversation_is_read_in_order(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    for name, previous in (("a", None), ("b", "a"), ("other", None), ("c", "b")):
        add(store, name, previous)
    ids = [row["id"] for row in store.history("me", "c")]
    assert ids == ["in a", "out a", "in b", "out b", "in c", "out c"]
    store.delete("me", "a")
    with pytest.raises(MissingResponseError, match="a"):
        store.history("me", "c")
    assert store.items("me", ["in a"]) == [None]
    assert store.items("me", ["out b"]) == [{"id": "out b"}]


def test_others_see_nothing(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    add(store, "a")
    asks = (store.get, store.history, store.input_items, store.events, store.delete)
    for ask in asks:
        with pytest.raises(MissingResponseError):
            ask("you", "a")
    assert store.items("you", ["in a"]) == [None]
    assert store.get("me", "a")["status"] == "completed"


def test_what_nobody_uses_goes_and_what_is_gone_on_with_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    start = time.time()
    for name in ("old", "used"):
        add(store, name)
    monkeypatch.setattr(time, "time", lambda: start + 900)
    store.history("me", "used")
    monkeypatch.setattr(time, "time", lambda: start + 1100)
    add(store, "new")
    assert store.get("me", "used")
    with pytest.raises(MissingResponseError):
        store.get("me", "old")
    assert store.items("me", ["in old"]) == [None]


def test_the_file_stays_within_its_bounds(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = ResponseStore(path, Limits(max_seconds=1000, max_bytes=500_000))
    for number in range(100):
        add(store, f"r{number}", text="x" * 20_000)
    assert store.get("me", "r99")
    with pytest.raises(MissingResponseError):
        store.get("me", "r0")
    store.close()
    assert path.stat().st_size < 700_000


def test_what_is_deleted_is_not_left_in_the_file(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    add(store, "a", text="a secret of mine")
    store.delete("me", "a")
    store.close()
    assert all(b"a secret of mine" not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_deleted_response_stays_deleted_when_it_ends(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    store.begin("me", response("a"), [])
    store.delete("me", "a")
    store.end(response("a", None, "completed"), [{"id": "out a"}], None)
    with pytest.raises(MissingResponseError):
        store.get("me", "a")
    assert store.items("me", ["out a"]) == [None]


_OTHER = """
import sys
from pathlib import Path
from server.service.responses.store import Limits, ResponseStore
store = ResponseStore(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
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
            store = ResponseStore(path, LIMITS)
            store.begin("me", response("mine"), [])
            assert store.get("me", "other")["status"] == "in_progress"
        finally:
            other.kill()
            other.wait()
        failed = store.get("me", "other")
        assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
        assert store.get("me", "mine")["status"] == "in_progress"
        store.close()
    with_nobody_left = ResponseStore(path, LIMITS)
    assert with_nobody_left.get("me", "mine")["status"] == "failed"


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match="99"):
        ResponseStore(path, LIMITS)


def test_nobody_else_on_the_machine_can_read_the_files(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "r.db", LIMITS)
    add(store, "a")
    assert [file.stat().st_mode & 0o077 for file in tmp_path.iterdir()] == [0] * len(list(tmp_path.iterdir()))
    assert len(list(tmp_path.iterdir())) >= 3
