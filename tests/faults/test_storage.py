"""The file of stored responses is locked by another program, gone, or its disk has no room left."""

import ctypes
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import ENDLESS, MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk of its own")

URL = "/v1/responses"
CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]
# The model babbles on to its limit.
ENDED = "incomplete"
ENDLESS_RESPONSE: dict[str, Any] = {"max_output_tokens": ENDLESS["max_tokens"], "ignore_eos": True}
_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
_MEGABYTE = 2**20


def ask(server: ServerProcess, method: str, path: str = URL, **fields: object) -> httpx.Response:
    asked = {"input": "Hi", "max_output_tokens": 4} if path == URL else {"max_tokens": 4}
    body = {"model": MODEL, "temperature": 0, **asked, **fields}
    return httpx.request(
        method, server.address + path, json=body if method == "POST" else None, timeout=PATIENCE
    )


def status(server: ServerProcess, response_id: str) -> str:
    found: dict[str, Any] = ask(server, "GET", f"{URL}/{response_id}").json()
    return str(found["status"])


def test_a_locked_store_costs_nobody_their_answer(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "r.db"
    with server_process(*tiny_options, "--responses-db", str(file)) as server:
        kept = ask(server, "POST").json()["id"]
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            running = ask(server, "POST", background=True, max_output_tokens=64).json()["id"]
            other.execute("BEGIN IMMEDIATE")
            with bystanders(server.address, MODEL) as crowd:
                refused = ask(server, "POST")
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
                assert int(refused.headers["retry-after"]) >= 1
                assert ask(server, "POST", store=False).status_code == 200
                assert ask(server, "DELETE", f"{URL}/{kept}").status_code == 503
                refused = ask(server, "POST", CHAT, messages=HI, store=True)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
                assert ask(server, "POST", CHAT, messages=HI).status_code == 200
                begun = httpx.post(f"{server.address}/v1/conversations", json={}, timeout=PATIENCE)
                assert begun.status_code == 503
                # What ends now cannot be stored, and is not in progress for ever all the same.
                wait_until(lambda: status(server, running) == ENDED)
                assert status(server, kept) == ENDED
                crowd.wait_for(2)
            crowd.seen.assert_unharmed()
            other.execute("ROLLBACK")
        assert ask(server, "POST").status_code == 200
        wait_until(lambda: "is stored now" in server.output or _is_stored(file, running))
        assert ask(server, "DELETE", f"{URL}/{kept}").status_code == 200
    with server_process(*tiny_options, "--responses-db", str(file)) as server:
        assert status(server, running) == ENDED


def test_what_a_killed_server_was_making_has_failed(
    tiny_options: tuple[str, ...], roomy_options: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "r.db"
    with server_process(*roomy_options, "--responses-db", str(file)) as server:
        made = ask(server, "POST", background=True, **ENDLESS_RESPONSE).json()["id"]
        wait_until(lambda: status(server, made) == "in_progress")
        os.kill(server.pid, 9)
        wait_until(lambda: server.has_ended)
    with server_process(*tiny_options, "--responses-db", str(file)) as server:
        found = ask(server, "GET", f"{URL}/{made}").json()
        assert (found["status"], found["error"]["code"]) == ("failed", "server_error")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_deleted_or_replaced_is_followed_by_another(
    roomy_options: tuple[str, ...], tmp_path: Path, *, is_replaced: bool
) -> None:
    file, other = tmp_path / "r.db", tmp_path / "other.db"
    if is_replaced:
        with server_process(*roomy_options, "--responses-db", str(other)) as server:
            known = ask(server, "POST").json()["id"]
    with server_process(*roomy_options, "--responses-db", str(file)) as server:
        lost = ask(server, "POST").json()["id"]
        with bystanders(server.address, MODEL) as crowd:
            running = ask(server, "POST", background=True, **ENDLESS_RESPONSE).json()["id"]
            wait_until(lambda: status(server, running) == "in_progress")
            os.replace(other, file) if is_replaced else file.unlink()
            answers = [ask(server, "POST") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200] * 3
            assert ask(server, "GET", f"{URL}/{lost}").status_code == 404
            assert not is_replaced or status(server, known) == ENDED
            assert status(server, running) == "in_progress"
            assert ask(server, "POST", f"{URL}/{running}/cancel").json()["status"] == "cancelled"
            crowd.wait_for(2)
        crowd.seen.assert_unharmed()
        assert server.output.count("while it was in use") == 1
    with server_process(*roomy_options, "--responses-db", str(file)) as server:
        assert status(server, running) == "cancelled"
        for name in (answers[-1].json()["id"], *([known] if is_replaced else [])):
            assert status(server, name) == ENDED


def test_a_store_that_cannot_work_costs_only_those_who_want_it(
    tiny_options: tuple[str, ...], tmp_path: Path
) -> None:
    """Where nobody chose its place; where somebody did, the server does not start: `test_startup.py`."""
    (tmp_path / "responses.db").mkdir()
    with server_process(*tiny_options, "--data-dir", str(tmp_path)) as server:
        assert "responses cannot be stored" in server.output
        assert "Traceback" not in server.output
        refused = ask(server, "POST")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
        assert ask(server, "POST", store=False).status_code == 200
        (tmp_path / "responses.db").rmdir()
        assert ask(server, "POST").status_code == 200


def on_a_small_disk(place: Path) -> Callable[[], None]:
    """What a process does first to have a disk of 24 MB at `place`, which nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if libc.unshare(_CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "unshare")
        if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
            raise OSError(ctypes.get_errno(), "mount")
        if libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, b"size=24m"):
            raise OSError(ctypes.get_errno(), "mount")

    return prepare


def can_mount() -> bool:
    """Whether this process may give a child a disk of its own."""
    pid = os.fork()
    if not pid:
        os._exit(ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(sys.platform == "linux" and not can_mount(), reason="mounting is for the administrator")
def test_a_full_disk_can_be_deleted_from(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    """16 of 24 MB are kept for that; then the disk is filled by others to the last byte."""
    options = ("--responses-db", str(tmp_path / "r.db"))
    with server_process(*tiny_options, *options, prepare=on_a_small_disk(tmp_path)) as server:
        seen = Path(f"/proc/{server.pid}/root{tmp_path}")
        names = [ask(server, "POST", input="x " * 1000).json()["id"] for _ in range(5)]
        with bystanders(server.address, MODEL) as crowd:
            _fill(seen / "others")
            while (answer := ask(server, "POST", input="y " * 1000)).status_code == 200:
                names.append(answer.json()["id"])
                assert len(names) < 1000
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "storage_unavailable")
            assert status(server, names[0]) == ENDED
            for name in names[:3]:
                assert ask(server, "DELETE", f"{URL}/{name}").status_code == 200
                assert ask(server, "GET", f"{URL}/{name}").status_code == 404
            # The room of what is gone is used again.
            assert ask(server, "POST", input="z " * 300).status_code == 200
            assert ask(server, "POST", store=False).status_code == 200
            crowd.wait_for(2)
        crowd.seen.assert_unharmed()
        assert not server.has_ended


@pytest.mark.skipif(sys.platform == "linux" and not can_mount(), reason="mounting is for the administrator")
def test_a_full_disk_costs_no_request_of_which_it_is_counted_what_it_used(
    tiny_options: tuple[str, ...], tmp_path: Path
) -> None:
    options = ("--usage-db", str(tmp_path / "usage.db"), "--responses-db", "memory", "--api-key", "mine")
    with (
        server_process(*tiny_options, *options, prepare=on_a_small_disk(tmp_path)) as server,
        httpx.Client(base_url=server.address, headers={"x-api-key": "mine"}, timeout=PATIENCE) as client,
    ):
        others = Path(f"/proc/{server.pid}/root{tmp_path}/others")

        def ask_once() -> None:
            body = {"model": MODEL, "prompt": "Hi", "max_tokens": 4}
            assert client.post("/v1/completions", json=body).status_code == 200

        def num_requests() -> int:
            rows = client.get("/admin/usage").json()["data"]
            return sum(row["num_model_requests"] for row in rows)

        def num_complaints() -> int:
            return server.output.count("what keys use is kept in memory alone")

        ask_once()
        assert num_requests() == 1
        _fill(others)
        for number in range(2, 5):
            ask_once()
            assert num_requests() == number
        assert num_complaints() == 1
        others.unlink()
        assert num_requests() == 4
        wait_until(lambda: "what keys use is written to" in server.output)
        ask_once()
        assert (num_requests(), num_complaints()) == (5, 1)


def _fill(place: Path) -> None:
    with place.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def _is_stored(file: Path, response_id: str) -> bool:
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT is_running FROM responses WHERE id = ?", (response_id,)).fetchone()
    return bool(found == (0,))
