"""The file of responses is deleted or replaced while a store has it open."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from caravan.api.store import Limits, MissingError, Row, Store
from caravan.api.store.async_store import AsyncStore
from caravan.api.store.errors import StorageError
from caravan.api.store.files import PlaceError, check_place

LIMITS = Limits(max_seconds=1000, max_bytes=2**30)


def row(name: str, status: str = "in_progress") -> Row:
    return {"id": name, "previous_response_id": None, "status": status}


def begin(store: Store, name: str) -> None:
    store.begin("me", row(name), [{"id": f"in {name}"}])


def end(store: Store, name: str) -> None:
    store.end(row(name, "completed"), [{"id": f"out {name}"}], None)


def delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def delete_the_file(path: Path) -> None:
    path.unlink()


def delete_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere.db"))


def replace(path: Path) -> None:
    """By another store, whose log was applied; the log of the old one stays, as after `mv`."""
    other = path.with_name("other.db")
    with closing(Store(other, LIMITS)) as store:
        begin(store, "of another")
        end(store, "of another")
    os.replace(other, path)


@pytest.mark.parametrize("happens", [delete_all, delete_the_file, delete_the_folder, move, replace])
def test_a_file_that_is_gone_is_followed_by_another(
    tmp_path: Path, happens: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "r.db"

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        await archive.do(lambda store: begin(store, "old"), "me")
        await archive.do(lambda store: end(store, "old"), "me")
        await archive.do(lambda store: begin(store, "running"), "me")
        happens(path)
        await archive.do(lambda store: begin(store, "new"), "me")
        assert "while it was in use" in caplog.text
        with pytest.raises(MissingError):
            await archive.do(lambda store: store.get("me", "old"), "me")
        assert (await archive.do(lambda store: store.get("me", "running"), "me"))["status"] == "in_progress"
        for name in ("running", "new"):
            await archive.do(partial(end, name=name), "me")
            stored = await archive.do(partial(Store.get, owner="me", response_id=name), "me")
            assert stored["status"] == "completed"
        found = partial(Store.history, owner="me", response_id="running")
        assert await archive.do(found, "me") == [{"id": "in running"}, {"id": "out running"}]
        await archive.aclose()

    asyncio.run(main())
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = {name for (name,) in db.execute("SELECT id FROM responses")}
    assert found == {"running", "new"} | ({"of another"} if happens is replace else set())


def test_a_log_of_changes_is_never_applied_to_another_file(tmp_path: Path) -> None:
    """The server ends without having needed the store again."""
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    begin(store, "old")
    replace(path)
    store.close()
    with closing(Store(path, LIMITS)) as after:
        assert after.get("me", "of another")["status"] == "completed"
        with pytest.raises(MissingError):
            after.get("me", "old")


def test_two_servers_find_it_out_one_after_the_other(tmp_path: Path) -> None:
    """The second one to notice leaves the first one's new files alone."""
    path = tmp_path / "r.db"
    first, second = Store(path, LIMITS), Store(path, LIMITS)
    begin(second, "old")
    path.unlink()
    assert (first.fate(), second.fate()) == ("deleted", "deleted")
    first.leave()
    first = Store(path, LIMITS)
    begin(first, "new")
    second.leave()
    with closing(sqlite3.connect(path)) as third:
        assert third.execute("SELECT id FROM responses").fetchall() == [("new",)]
    end(first, "new")
    first.close()
    with closing(Store(path, LIMITS)) as after:
        assert after.get("me", "new")["status"] == "completed"


_OTHER = """
import sys
from pathlib import Path
from caravan.api.store import Limits, Store
store = Store(Path(sys.argv[1]), Limits(max_seconds=1000, max_bytes=2**30))
store.begin("me", {"id": "of another", "previous_response_id": None, "status": "in_progress"}, [])
print("begun", flush=True)
sys.stdin.read()
"""


def test_servers_find_each_other_again_when_their_list_is_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each would take the other for dead, and its responses for failed."""
    path = tmp_path / "r.db"

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        await archive.do(lambda store: begin(store, "mine"), "me")
        path.with_name("r.db-servers").unlink()
        command = [sys.executable, "-c", _OTHER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"begun\n"
            for name in ("mine", "of another"):
                stored = await archive.do(partial(Store.get, owner="me", response_id=name), "me")
                assert stored["status"] == "in_progress", name
            assert "r.db-servers was deleted while it was in use" in caplog.text
            other.communicate()
        stored = await archive.do(lambda store: store.get("me", "of another"), "me")
        assert stored["status"] == "failed"
        await archive.do(lambda store: end(store, "mine"), "me")
        assert (await archive.do(lambda store: store.get("me", "mine"), "me"))["status"] == "completed"
        await archive.aclose()

    asyncio.run(main())


def test_what_is_being_made_waits_for_a_file_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "r.db"

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        await archive.do(lambda store: begin(store, "running"), "me")
        delete_all(path)
        path.mkdir()
        for _ in range(2):
            with pytest.raises(StorageError) as caught:
                await archive.do(lambda store: end(store, "running"), "me")
            assert (caught.value.status, caught.value.code) == (503, "storage_unavailable")
        path.rmdir()
        await archive.do(lambda store: end(store, "running"), "me")
        assert (await archive.do(lambda store: store.get("me", "running"), "me"))["status"] == "completed"
        await archive.aclose()

    asyncio.run(main())


def test_a_place_is_looked_at_without_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    store = Store(path, LIMITS)
    begin(store, "a")
    check_place(path)
    store.close()
    before = sorted(tmp_path.iterdir())
    check_place(path)
    check_place(tmp_path / "not" / "yet" / "r.db")
    assert sorted(tmp_path.iterdir()) == before
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(PlaceError, match="the file has version 99"):
        check_place(path)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with closing(Store(path, LIMITS)) as store:
        begin(store, "a")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(PlaceError, match="malformed"):
        check_place(path)
