"""What the store keeps of chats and conversations: for whom, how long, beside responses and other servers."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from caravan.api.store import (
    AsyncStore,
    Kind,
    KnownItemError,
    Limits,
    LongHistoryError,
    MissingError,
    MissingItemError,
    Outcome,
    Record,
    Shelf,
    StorageBusyError,
    Store,
    patience,
)
from caravan.api.store import outcomes as outcomes_module
from caravan.api.store import records as records_module
from caravan.auth.principal import Principal

from tests.api.store import old_versions
from tests.api.store.test_store import LIMITS, add, response
from tests.waiting import until

ME = Principal(id="me", name="me")


def chat(name: str, owner: str = "me", text: str = "") -> Record:
    body = json.dumps({"id": name, "text": text})
    return Record(id=name, owner=owner, kind="chat", body=body, metadata={}, model="m")


def begin(store: Store, name: str, owner: str = "me", **metadata: str) -> None:
    """A conversation with one item."""
    items = [{"id": f"first of {name}"}]
    body = json.dumps({"id": name})
    Record(id=name, owner=owner, kind="conversation", body=body, metadata=metadata, items=items).keep(store)


def ids(store: Store, name: str) -> list[str]:
    return store.records.items("me", "conversation", name, None, 1000, "asc").ids


def test_a_conversation_grows_by_what_it_has_not_yet(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    begin(store, "c", topic="x")
    assert json.loads(store.records.text("me", "conversation", "c")) == {
        "id": "c",
        "metadata": {"topic": "x"},
    }
    store.records.append("me", "c", [{"id": "a"}, {"id": "b"}])
    with pytest.raises(KnownItemError, match="b"):
        store.records.append("me", "c", [{"id": "d"}, {"id": "b"}])
    assert ids(store, "c") == ["first of c", "a", "b"]
    store.begin("me", response("r"), [{"id": "in"}])
    done = response("r", None, "completed") | {"conversation": {"id": "c"}}
    store.end(done, [{"id": "out"}], None, [{"id": "b"}, {"id": "in"}, {"id": "out"}])
    assert ids(store, "c") == ["first of c", "a", "b", "in", "out"]
    assert [row["id"] for row in store.history("me", "c", "conversation")] == ids(store, "c")
    store.delete_item("me", "c", "out")
    store.records.append("me", "c", [{"id": "later"}])
    assert ids(store, "c")[-2:] == ["in", "later"]
    assert store.items("me", ["out"]) == [{"id": "out"}], "the response has it still"
    with pytest.raises(MissingItemError):
        store.delete_item("me", "c", "out")


def test_a_deleted_conversation_stays_deleted_when_a_response_ends(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    begin(store, "c")
    store.begin("me", response("r"), [{"id": "in"}])
    store.delete("me", "c", "conversation")
    done = response("r", None, "completed") | {"conversation": {"id": "c"}}
    store.end(done, [{"id": "out"}], None, [{"id": "in"}, {"id": "out"}])
    assert store.get("me", "r")["status"] == "completed"
    with pytest.raises(MissingError):
        store.records.text("me", "conversation", "c")


def test_nothing_is_taken_for_something_of_another_kind_or_owner(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    begin(store, "conv")
    chat("chat").keep(store)
    add(store, "resp")
    kinds: dict[str, Kind] = {"conv": "conversation", "chat": "chat", "resp": "response"}
    for name, kind in kinds.items():
        assert json.loads(store.records.text("me", kind, name))["id"] == name
        for other in set(kinds.values()) - {kind}:
            with pytest.raises(MissingError):
                store.records.text("me", other, name)
            with pytest.raises(MissingError):
                store.delete("me", name, other)
        with pytest.raises(MissingError):
            store.history("me", name, "response" if kind == "conversation" else "conversation")
        with pytest.raises(MissingError):
            store.records.text("you", kind, name)
    with pytest.raises(MissingError):
        store.records.append("you", "conv", [{"id": "x"}])
    assert store.items("you", ["first of conv"]) == [None]


def test_all_kinds_share_the_space_of_their_owner(tmp_path: Path) -> None:
    store = Store(tmp_path / "r.db", Limits(max_seconds=1000, max_bytes=1_000_000))
    for number in range(10):
        add(store, f"m{number}", text="x" * 10_000)
    begin(store, "talk", owner="greedy")
    for number in range(100):
        chat(f"g{number:03}", "greedy", "x" * 20_000).keep(store)
        store.records.append("greedy", "talk", [{"id": f"i{number}", "text": "x" * 2_000}])
    assert [store.get("me", f"m{number}")["status"] for number in range(10)] == ["completed"] * 10
    assert store.records.text("greedy", "chat", "g099")
    with pytest.raises(MissingError):
        store.records.text("greedy", "chat", "g000")
    assert store.records.text("greedy", "conversation", "talk"), "it was in use all the time"


def test_a_conversation_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "r.db", LIMITS)
    begin(store, "c")
    monkeypatch.setattr(records_module, "MAX_HISTORY_BYTES", 5_000)
    with pytest.raises(LongHistoryError, match="2 items of 6"):
        store.records.append("me", "c", [{"id": "a", "text": "é" * 1000}])
    store.records.append("me", "c", [{"id": "b", "text": "x" * 1000}])
    assert ids(store, "c") == ["first of c", "b"]


def test_a_file_of_the_second_version_is_taken_over_also_while_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as earlier:
        earlier.executescript(old_versions.SECOND)
        store = Store(path, LIMITS)
        assert store.history("me", "old") == [{"id": "item", "text": "what was said"}]
        begin(store, "c")
        chat("a").keep(store)
        # As a server of that version goes on to do.
        earlier.execute(
            "INSERT INTO responses (id, owner, place, previous_id, is_running, used_at, body) "
            "VALUES ('new', 'me', 0, NULL, 0, unixepoch(), '{\"id\": \"new\"}')"
        )
        assert store.get("me", "new") == {"id": "new"}
        assert store.records.chats("me", None, "asc", None, {}, 10).ids == ["a"]


_OTHER = """
import asyncio, sys
from pathlib import Path
from caravan.api.store import AsyncStore, Limits

async def main():
    archive = AsyncStore(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
    for number in range(50):
        await archive.do(lambda s: s.records.append("me", "c", [{"id": f"{sys.argv[2]}{number}"}]), "me")
    await archive.aclose()

asyncio.run(main())
"""


def test_several_servers_add_to_one_conversation(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    begin(store, "c")
    servers = [subprocess.Popen([sys.executable, "-c", _OTHER, str(path), name]) for name in "ab"]
    assert [server.wait() for server in servers] == [0, 0]
    found = ids(store, "c")[1:]
    assert len(found) == 100
    for name in "ab":
        assert [each for each in found if each[0] == name] == [f"{name}{n}" for n in range(50)]


_IN_LITTLE_ROOM = """
import json, resource, sqlite3, sys
from pathlib import Path
from caravan.api.store.database import is_full
from caravan.api.store import Limits, Record, Store
store = Store(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
Record(id="c", owner="me", kind="conversation", body='{"id": "c"}', metadata={}).keep(store)
count = 0
try:
    while True:
        store.records.append("me", "c", [{"id": f"i{count}", "text": "x" * 17_000}])
        count += 1
except sqlite3.OperationalError as error:
    assert is_full(error), error
for number in range(5):
    assert store.delete_item("me", "c", f"i{number}")
store.check()
store.records.append("me", "c", [{"id": "late"}])
store.delete("me", "c", "conversation")
print("done")
"""


def test_what_is_full_can_be_deleted_from(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _IN_LITTLE_ROOM, str(tmp_path / "r.db")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stdout == "done\n", ended.stderr


def test_what_is_not_stored_yet_is_told_and_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_LOCKED_SECONDS", 0.0)
    monkeypatch.setattr(outcomes_module, "_FIRST_SECONDS", 0.01)
    path = tmp_path / "r.db"

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        chats = Shelf(archive, "chat")
        await archive.do(lambda store: begin(store, "c"), "me")
        await archive.do(lambda store: store.begin("me", response("r"), []), "me")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageBusyError):
                await archive.do(Store.check, "me")
            done: dict[str, Any] = response("r", None, "completed") | {"conversation": {"id": "c"}}
            said = [{"id": "said"}]
            await archive.outcomes.keep(Outcome(owner="me", response=done, items=said, added=said))
            await archive.outcomes.keep(chat("a"))
            with pytest.raises(StorageBusyError, match="'a' is not stored yet"):
                await chats.text("a", ME)
            assert archive.outcomes.has_for("me", "c")
            assert not archive.outcomes.has_for("you", "c")
            other.execute("ROLLBACK")
        await until(lambda: not archive.outcomes.has_for("me", "c"))
        await until(lambda: archive.outcomes.find("me", "a") is None)
        assert json.loads(await chats.text("a", ME))["id"] == "a"
        items = await Shelf(archive, "conversation").items("c", None, None, "desc", ME)
        assert json.loads(items)["first_id"] == "said"
        await archive.aclose()

    asyncio.run(main())


def test_a_chat_for_which_there_is_no_room_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "_LOCKED_SECONDS", 0.0)
    monkeypatch.setattr(outcomes_module, "_MAX_BYTES", 10)
    path = tmp_path / "r.db"

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        await archive.open()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await archive.outcomes.keep(chat("a"))
            assert archive.outcomes.find("me", "a") is None
            other.execute("ROLLBACK")
        await archive.aclose()

    asyncio.run(main())
    assert "a is kept as failed, or not at all" in caplog.text


def test_a_search_reads_no_chat_that_it_does_not_find(tmp_path: Path) -> None:
    """Not in a new file, nor in one that was taken over."""
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db", isolation_level=None)) as earlier:
        earlier.executescript(old_versions.SECOND)
    for name in ("new.db", "old.db"):
        Store(tmp_path / name, LIMITS).close()
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as db:
            for search in records_module._CHATS.values():
                plan = db.execute(f"EXPLAIN QUERY PLAN {search}", ("me", "x", 1)).fetchall()
                assert ["USING COVERING INDEX chats" in row[3] for row in plan] == [True]
