"""The store beside the event loop, while another program holds it."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from caravan.api.store import Limits, Row, Store, patience
from caravan.api.store import outcomes as outcomes_module
from caravan.api.store.async_store import AsyncStore
from caravan.api.store.errors import StorageBusyError
from caravan.api.store.outcomes import Outcome, Outcomes

from tests.waiting import PATIENCE

LIMITS = Limits(max_seconds=1000, max_bytes=2**30)


def row(name: str, status: str = "in_progress") -> Row:
    return {"id": name, "previous_response_id": None, "status": status}


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[tuple[AsyncStore, sqlite3.Connection], None]:
    """An archive, and another program that can lock its file."""
    archive = AsyncStore(path, LIMITS)
    await archive.do(lambda store: store.begin("me", row("a"), []), "me")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        yield archive, other
    await archive.aclose()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_LOCKED_SECONDS", 0.5)
    monkeypatch.setattr(outcomes_module, "_FIRST_SECONDS", 0.05)


def test_many_that_find_it_locked_wait_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "r.db") as (archive, other):
            other.execute("BEGIN IMMEDIATE")

            async def write(name: str) -> None:
                with pytest.raises(StorageBusyError) as caught:
                    await archive.do(lambda store: store.begin("me", row(name), []), "me")
                assert (caught.value.status, caught.value.retry_after) == (503, 5)

            # One after the other, sixty would take half a minute.
            async with asyncio.timeout(15):
                await asyncio.gather(*(write(f"r{number}") for number in range(60)))
            other.execute("ROLLBACK")
            await archive.do(lambda store: store.begin("me", row("later"), []), "me")

    asyncio.run(main())


def test_a_short_lock_is_waited_for_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_LOCKED_SECONDS", PATIENCE)

    async def main() -> None:
        async with opened(tmp_path / "r.db") as (archive, other):
            other.execute("BEGIN IMMEDIATE")

            async def write(name: str) -> None:
                await archive.do(lambda store: store.begin("me", row(name), []), "me")

            writing = [asyncio.create_task(write(f"r{number}")) for number in range(60)]
            await asyncio.sleep(0.3)
            assert (await archive.do(lambda store: store.get("me", "a"), "me"))["status"] == "in_progress"
            assert not any(each.done() for each in writing)
            other.execute("ROLLBACK")
            await asyncio.gather(*writing)

    asyncio.run(main())


def outcome(name: str) -> Outcome:
    return Outcome(owner="me", response=row(name, "completed"), items=[{"id": f"out {name}", "text": "said"}])


def test_what_cannot_be_stored_now_is_held_and_stored_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "r.db") as (archive, other):
            outcomes = Outcomes(archive.do)
            other.execute("BEGIN IMMEDIATE")
            await outcomes.keep(outcome("a"))
            held = outcomes.find("me", "a")
            assert isinstance(held, Outcome)
            assert held.response["status"] == "completed"
            assert outcomes.find("you", "a") is None
            assert (await archive.do(lambda store: store.get("me", "a"), "me"))["status"] == "in_progress"
            other.execute("ROLLBACK")
            async with asyncio.timeout(PATIENCE):
                while outcomes.find("me", "a") is not None:
                    await asyncio.sleep(0.01)
            assert (await archive.do(lambda store: store.get("me", "a"), "me"))["status"] == "completed"
            said = await archive.do(lambda store: store.items("me", ["out a"]), "me")
            assert said == [{"id": "out a", "text": "said"}]
            await outcomes.aclose()

    asyncio.run(main())


def test_what_is_held_has_a_limit_beyond_which_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes_module, "_MAX_BYTES", 150)

    async def main() -> None:
        async with opened(tmp_path / "r.db") as (archive, other):
            await archive.do(lambda store: store.begin("me", row("b"), []), "me")
            outcomes = Outcomes(archive.do)
            other.execute("BEGIN IMMEDIATE")
            for name in ("a", "b"):
                await outcomes.keep(outcome(name))
            first, second = outcomes.find("me", "a"), outcomes.find("me", "b")
            assert isinstance(first, Outcome)
            assert isinstance(second, Outcome)
            assert (first.response["status"], second.response["status"]) == ("completed", "failed")
            assert second.response["error"]["code"] == "server_error"
            other.execute("ROLLBACK")
            await outcomes.aclose()
            assert (await archive.do(lambda store: store.get("me", "b"), "me"))["status"] == "failed"
            assert (await archive.do(lambda store: store.get("me", "a"), "me"))["status"] == "completed"

    asyncio.run(main())


def test_a_store_that_cannot_be_opened_may_be_later(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    Store(path, LIMITS).close()

    async def main() -> None:
        archive = AsyncStore(path, LIMITS)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with pytest.raises(StorageBusyError):
                    await archive.do(lambda store: store.begin("me", row("a"), []), "me")
            other.execute("ROLLBACK")
        await archive.do(lambda store: store.begin("me", row("a"), []), "me")
        await archive.aclose()

    asyncio.run(main())
