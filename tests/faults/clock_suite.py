"""The machine's clock is set, forwards and backwards, by an hour and by a year, under a running server."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.bystanders import bystanders
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
_JUMPS = {"+1h": 3600, "+365d": 365 * 86_400, "-365d": -365 * 86_400, "-1h": -3600, "+0": 0}

pytestmark = pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime")


def _env(clock: Path) -> dict[str, str]:
    """As when somebody sets the clock: what counts from the machine's start, and files, go on as before."""
    return {
        "LD_PRELOAD": str(_LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _set(clock: Path, jump: str) -> None:
    new = clock.with_suffix(".new")
    new.write_text(f"{jump}\n")
    os.replace(new, clock)


def _respond(server: ServerProcess, previous: str | None = None) -> dict[str, Any]:
    body = {"model": MODEL, "input": "Hi", "max_output_tokens": 16, "previous_response_id": previous}
    answer = httpx.post(f"{server.address}/v1/responses", json=body, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def _is_kept(server: ServerProcess, response: dict[str, Any]) -> bool:
    return httpx.get(f"{server.address}/v1/responses/{response['id']}").status_code == 200


def test_nothing_is_lost_and_nobody_waits(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    _set(clock, "+0")
    options = (*tiny_options, "--responses-db", str(tmp_path / "responses.db"))
    made = []
    with server_process(*options, env=_env(clock)) as server:
        engine = server.engine_pid()
        made.append(_respond(server))
        with bystanders(server.address, MODEL) as crowd:
            for jump, seconds in _JUMPS.items():
                _set(clock, jump)
                # Until the library has looked, and whatever counts seconds by this clock has noticed.
                time.sleep(2.5)
                made.append(_respond(server, made[-1]["id"]))
                assert abs(made[-1]["created_at"] - time.time() - seconds) < 30
                crowd.wait_for(3)
                assert all(_is_kept(server, response) for response in made)
                assert httpx.get(f"{server.address}/ready").status_code == 200
        crowd.seen.assert_unharmed()
        assert crowd.seen.longest_gap < 5
        assert server.engine_pid() == engine
        assert "Traceback" not in server.output
    _set(clock, "+365d")
    with server_process(*options, env=_env(clock)) as server:
        made.append(_respond(server, made[-1]["id"]))
        assert all(_is_kept(server, response) for response in made)
