"""10,000 lines with a kill in the middle, and what a live client notices of a batch. Takes minutes.

`make test-faults ARGS="-k batches -s"` prints the numbers.
"""

import statistics
import time
from pathlib import Path

import httpx

from tests.faults import batches
from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess, server_process
from tests.waiting import PATIENCE

NUM_LINES = 10_000
_HOURS = 3600


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


def _latencies(server: ServerProcess, count: int) -> list[float]:
    """Seconds that live chats take, one after the other, with pauses in which a batch can go on."""
    seconds = []
    for number in range(count):
        prompt = f"Question {number}: what does the {batches.WORDS[number % 8]} say?"
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 128, "temperature": 0, "ignore_eos": True}
        begun = time.monotonic()
        httpx.post(f"{server.address}{batches.URL}", json=body, timeout=PATIENCE).raise_for_status()
        seconds.append(time.monotonic() - begun)
        time.sleep(0.2)
    return seconds


def test_a_live_client_notices_a_tenth_at_most(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    with server_process(*tiny_options, "--data-dir", str(tmp_path)) as server:
        _latencies(server, 5)
        without = statistics.median(_latencies(server, 40))
        batch_id = batches.begin(server, NUM_LINES, num_tokens=64)
        _wait(server, batch_id, 100)
        before = batches.num_answered(server, batch_id)
        beside = statistics.median(_latencies(server, 40))
        assert batches.num_answered(server, batch_id) > before, "the pauses are the batch's"
        httpx.post(f"{server.address}/v1/batches/{batch_id}/cancel", timeout=PATIENCE)
    print(f"median of a live answer: {without:.4f} s without, {beside:.4f} s beside a batch")
    assert beside <= 1.1 * without
