"""10,000 lines with a kill in the middle, and what a live client notices of a batch. Takes minutes.

`make test-faults ARGS="-k batches -s"` prints the numbers.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.faults import batches
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.real.materials import SMOLLM2
from tests.waiting import PATIENCE, wait_until

NUM_LINES = 10_000
_HOURS = 3600
_NUM_TURNS = 4
# What a live answer has, as many have in a chat.
_NUM_TOKENS = 128


def _wait(server: ServerProcess, batch_id: str, num_answered: int) -> None:
    deadline = time.monotonic() + _HOURS
    while batches.num_answered(server, batch_id) < num_answered and not batches.has_ended(server, batch_id)():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_ten_thousand_lines_with_a_kill_in_the_middle(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    options = (*tiny_options, "--data-dir", str(tmp_path))
    begun = time.monotonic()
    with server_process(*options) as server:
        batch_id = batches.begin(server, NUM_LINES, num_tokens=8)
        _wait(server, batch_id, NUM_LINES // 2)
        batches.kill(server)
    with server_process(*options) as server:
        already = batches.num_answered(server, batch_id)
        _wait(server, batch_id, NUM_LINES + 1)
        found = batches.answers(server, batch_id)
    print(f"{NUM_LINES} lines, killed after {already}, in {time.monotonic() - begun:.0f} s")
    assert NUM_LINES // 2 <= already < NUM_LINES
    assert sorted(found) == sorted(f"line-{number}" for number in range(NUM_LINES))


def _latencies(client: httpx.Client, count: int, first: int) -> list[float]:
    """Seconds that live answers take, one after the other, with pauses in which a batch can go on."""
    seconds = []
    for number in range(first, first + count):
        prompt = (
            f"Question {number}: what does the {batches.WORDS[number % 8]} say to the others in the house?"
        )
        body = {"prompt": prompt, "max_tokens": _NUM_TOKENS, "temperature": 0, "ignore_eos": True}
        begun = time.monotonic()
        client.post(batches.URL, json=body).raise_for_status()
        seconds.append(time.monotonic() - begun)
        time.sleep(0.3)
    return seconds


@pytest.mark.skipif(not SMOLLM2.exists(), reason="`make test-models` fetches the model")
def test_a_live_client_notices_a_tenth_at_most(tmp_path: Path) -> None:
    """In turns with and without, since a machine has other things to do, too."""
    without: list[float] = []
    beside: list[float] = []
    num_done = 0
    options = ("--model", str(SMOLLM2), "--model-id", MODEL, "--data-dir", str(tmp_path))
    # One client for all, since making one takes as long as some answers.
    with (
        server_process(*options) as server,
        httpx.Client(base_url=server.address, timeout=PATIENCE) as client,
    ):
        _latencies(client, 3, 1000)
        for turn in range(_NUM_TURNS):
            without += _latencies(client, 6, 20 * turn)
            batch_id = batches.begin(server, 400, num_tokens=8)
            _wait(server, batch_id, 1)
            before = batches.num_answered(server, batch_id)
            beside += _latencies(client, 6, 20 * turn + 10)
            num_done += batches.num_answered(server, batch_id) - before
            httpx.post(f"{server.address}/v1/batches/{batch_id}/cancel", timeout=PATIENCE)
            wait_until(batches.has_ended(server, batch_id))
    medians = statistics.median(without), statistics.median(beside)
    print(f"a live answer: {medians[0]:.3f} s, beside a batch {medians[1]:.3f} s; {num_done} lines meanwhile")
    assert num_done > 0
    assert medians[1] <= 1.1 * medians[0]


def test_an_engine_that_is_killed_costs_no_line(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    with server_process(*tiny_options, "--data-dir", str(tmp_path)) as server:
        batch_id = batches.begin(server, 80, num_tokens=8)
        wait_until(lambda: batches.num_answered(server, batch_id) >= 20)
        server.replace_engine()
        wait_until(batches.has_ended(server, batch_id))
        assert len(batches.answers(server, batch_id)) == 80


def test_the_command_goes_on_after_a_kill(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [{**batches.line(number, 16), "custom_id": f"r{number}"} for number in range(30)]
    for line in lines:
        line["body"]["model"] = ""
    source.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "caravan", "batch", "run", str(source), "--output", str(output)]
    environment = {**os.environ, "CARAVAN_THREADS": "1"}
    work = tmp_path / "in.jsonl.batch"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        # Nothing tells how far it is but its own folder.
        wait_until(lambda: (work / "batches.db-wal").exists() and (work / "batches.db-wal").stat().st_size)
        process.send_signal(signal.SIGKILL)
    assert not output.exists()
    subprocess.run(command, env=environment, check=True, timeout=PATIENCE)
    rows = [json.loads(text) for text in output.read_text(encoding="utf-8").splitlines()]
    assert [row["custom_id"] for row in rows] == [f"r{number}" for number in range(30)]
    assert not work.exists()
