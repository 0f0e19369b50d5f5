"""What keys have used: counted once for each request, kept in a file, and never in a request's way."""

import asyncio
import logging
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from caravan.api import usage
from caravan.api.store import StorageBusyError
from caravan.api.usage import UsageBook, add, read
from caravan.auth import keys_file
from caravan.auth.principal import ANONYMOUS, Principal
from caravan.config.settings import Settings
from caravan.errors import EngineFailedError
from caravan.observability.request_metrics import RequestMetrics
from caravan.web.app import create_app
from caravan_schemas.ops import KeyUsage, UsageList
from fastapi.testclient import TestClient

from tests.cli.calling import call
from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.waiting import PATIENCE, until, wait_until

TODAY = date(2026, 11, 30)
ALICE = Principal(id="key_1", name="alice")


@pytest.fixture(autouse=True)
def _one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that runs at midnight has one day all the same."""
    monkeypatch.setattr(usage, "_today", lambda: TODAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "usage.db"


def row(day: date = TODAY, key: str = "alice", num: int = 1) -> KeyUsage:
    return KeyUsage(
        day=day.isoformat(),
        api_key_id=f"key_{key}",
        key=key,
        model="fake",
        num_model_requests=num,
        input_tokens=10 * num,
        input_cached_tokens=num,
        output_tokens=5 * num,
    )


def ended(num_prompt_tokens: int = 10) -> RequestMetrics:
    entry = RequestMetrics()
    entry.model, entry.num_prompt_tokens, entry.num_completion_tokens = "fake", num_prompt_tokens, 5
    return entry


def test_what_is_added_adds_up_by_day_and_key(path: Path) -> None:
    assert read(path, 30) == []
    yesterday = TODAY - timedelta(days=1)
    add(path, [row(num=2), row(yesterday)])
    add(path, [row(num=3), row(key="bob")])
    assert read(path, 1) == [row(num=5), row(key="bob")]
    assert read(path, 2) == [row(yesterday), row(num=5), row(key="bob")]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_several_processes_add_to_one_file(path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from caravan.api.usage import add\n"
        "from caravan_schemas.ops import KeyUsage\n"
        "row = KeyUsage.model_validate_json(sys.argv[2])\n"
        "for _ in range(20): add(pathlib.Path(sys.argv[1]), [row])\n"
    )
    command = [sys.executable, "-c", script, str(path), row().model_dump_json()]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(PATIENCE) for process in running] == [0, 0, 0]
    assert read(path, 1) == [row(num=60)]


def test_the_oldest_days_go_and_a_wrong_clock_costs_nothing(path: Path) -> None:
    days = [TODAY - timedelta(days=number) for number in range(400)]
    add(path, [row(day) for day in days])
    add(path, [row(date(2099, 1, 1))])
    kept = [each.day for each in read(path, 10_000)]
    assert kept == [day.isoformat() for day in (*reversed(days[:-1]), date(2099, 1, 1))]


def test_a_file_that_cannot_be_written_is_told_once_and_costs_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_RETRY_SECONDS", 0.01)
    path.parent.write_text("this is no folder")
    caplog.set_level(logging.INFO, usage.__name__)

    async def test() -> None:
        book = UsageBook(path, pause_seconds=0)
        tries = 0

        def adding(path: Path, rows: list[KeyUsage]) -> None:
            nonlocal tries
            tries += 1
            add(path, rows)

        monkeypatch.setattr(usage, "add", adding)
        book.count(ALICE, ended())
        await until(lambda: tries > 2)
        book.count(ALICE, ended())
        assert [row.num_model_requests for row in await book.read(1)] == [2]
        path.parent.unlink()
        await until(lambda: read(path, 1))
        book.count(ALICE, ended())
        await book.aclose()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
    (found,) = read(path, 1)
    assert (found.num_model_requests, found.input_tokens, found.output_tokens) == (3, 30, 15)
    told = [entry.levelno for entry in caplog.records if entry.name == usage.__name__]
    assert told == [logging.WARNING, logging.INFO]


@pytest.mark.parametrize("text", ["this is no database", None])
def test_a_file_that_is_none_is_refused_by_name(path: Path, text: str | None) -> None:
    path.parent.mkdir()
    path.write_text(text * 100) if text else path.mkdir()
    with pytest.raises(StorageBusyError, match=r"usage\.db"):
        read(path, 1)
    with pytest.raises((sqlite3.Error, OSError)):
        add(path, [row()])


def test_memory_is_bounded_while_the_file_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_MOST_PENDING", 3)
    monkeypatch.setattr(usage, "_LOCKED_SECONDS", 0.01)
    add(path, [row()])

    async def test() -> None:
        book = UsageBook(path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for number in range(9):
            book.count(Principal(id=f"key_{number}", name="many"), ended())
        book.count(Principal(id="key_2", name="many"), ended())
        with pytest.raises(StorageBusyError):
            await book.read(1)
        other.close()
        await book.aclose()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))
    found = {each.api_key_id: each.num_model_requests for each in read(path, 1) if each.key == "many"}
    assert found == {"key_0": 1, "key_1": 1, "key_2": 2}


def test_nothing_is_kept_of_whom_there_is_no_key_or_for_whom_no_model_worked(path: Path) -> None:
    async def test() -> None:
        book = UsageBook(path)
        book.count(ANONYMOUS, ended())
        book.count(ALICE, RequestMetrics())
        book.count(ALICE, ended(0))
        await book.aclose()
        nowhere = UsageBook(None)
        nowhere.count(ALICE, ended())
        assert await nowhere.read(1) == []
        await nowhere.aclose()

    asyncio.run(test())
    assert not path.parent.exists()


@contextmanager
def served(data: Path, engine: ScriptedEngine, **options: object) -> Generator[TestClient, None, None]:
    registry = registry_over(loaded_model(engine))
    app = create_app(Settings.model_validate({"data_dir": data, **options}), registry)
    with TestClient(app, raise_server_exceptions=False, base_url="http://localhost") as client:
        assert client.portal is not None
        client.portal.call(registry.start)
        yield client


def bearer(data: Path, name: str, **fields: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {keys_file.add(data / 'keys.json', name=name, **fields)}"}


def asked(client: TestClient, headers: dict[str, str], days: int = 1) -> list[KeyUsage]:
    response = client.get(f"/admin/usage?days={days}", headers=headers)
    assert response.status_code == 200, response.text
    return UsageList.model_validate_json(response.content).data


def test_every_route_counts_and_a_restart_forgets_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(context_size=2048)
    alice, root = bearer(tmp_path, "alice"), bearer(tmp_path, "root", role="admin")
    (key, _) = keys_file.read(tmp_path / "keys.json")
    told: list[dict[str, Any]] = []
    with served(tmp_path, engine) as client:

        def post(url: str, **body: object) -> dict[str, Any]:
            response = client.post(url, json={"model": "fake", **body}, headers=alice)
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = response.json()
            return answer

        told.append(post("/v1/completions", prompt="Hi", n=2)["usage"])
        told.append(post("/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}])["usage"])
        told.append(post("/v1/embeddings", input=["Hello", "you"])["usage"])
        made = post("/v1/responses", input="x", background=True)
        wait_until(lambda: [each.num_model_requests for each in asked(client, root)] == [4])
        told.append(client.get(f"/v1/responses/{made['id']}", headers=alice).json()["usage"])
        before = asked(client, root)
        told.append(post("/v1/rerank", query="x", documents=["y", "z"])["usage"])
        engine.failure = EngineFailedError("it failed")
        for prompt in ("it is not computed", 7):
            body = {"model": "fake", "prompt": prompt}
            assert client.post("/v1/completions", json=body, headers=alice).is_error
        (row,) = asked(client, root)
    assert (row.day, row.api_key_id, row.key, row.model) == (TODAY.isoformat(), key.id, "alice", "fake")
    # Those of which the engine was given something, the one that failed among them.
    assert row.num_model_requests == 6
    assert row.input_tokens == sum(
        each.get("prompt_tokens", 0) + each.get("input_tokens", 0) for each in told
    )
    assert 0 < row.input_cached_tokens < row.input_tokens
    answered = sum(each.get("completion_tokens", each.get("output_tokens", 0)) for each in told)
    assert before[0].output_tokens == answered
    with served(tmp_path, engine) as client:
        assert asked(client, root) == [row]
    monkeypatch.setenv("CARAVAN_DATA_DIR", str(tmp_path))
    call("keys", "usage", "--json")
    assert UsageList.model_validate_json(capsys.readouterr().out).data == [row]
    call("keys", "usage", "--days", "7")
    numbers = (6, row.input_tokens, row.input_cached_tokens, row.output_tokens)
    assert capsys.readouterr().out.splitlines()[1].split() == [*map(str, (TODAY, "alice", "fake", *numbers))]
    call("keys", "usage", "--usage-db", str(tmp_path / "keys.json"), code=1)
    assert "keys.json" in capsys.readouterr().err


def test_usage_is_for_administrators_and_of_the_models_that_they_may_use(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    alice, root = bearer(tmp_path, "alice"), bearer(tmp_path, "root", role="admin")
    other = bearer(tmp_path, "other", role="admin", models=["another"])
    with served(tmp_path, engine) as client:
        sent = {"model": "fake", "prompt": "Hi"}
        assert client.post("/v1/completions", json=sent, headers=alice).status_code == 200
        assert client.get("/admin/usage", headers=alice).status_code == 403
        refused = client.get("/admin/usage?days=0", headers=root)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "days")
        assert [row.key for row in asked(client, root)] == ["alice"]
        assert asked(client, other) == []


@pytest.mark.parametrize("options", [{"usage_db": "none"}, {"auth": False}])
def test_no_file_is_made_where_none_is_wanted_or_nobody_has_a_key(
    tmp_path: Path, options: dict[str, object]
) -> None:
    alice = bearer(tmp_path, "alice", role="admin")
    with served(tmp_path, ScriptedEngine(), **options) as client:
        sent = {"model": "fake", "prompt": "Hi"}
        assert client.post("/v1/completions", json=sent, headers=alice).status_code == 200
        if "auth" not in options:
            assert asked(client, alice) == []
    assert not (tmp_path / "usage.db").exists()
