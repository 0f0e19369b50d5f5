"""Batches whose server is killed: every line is answered once, with the text that it has alone."""

import sys
from pathlib import Path

import httpx
import pytest

from tests.faults import batches
from tests.faults.process import server_process
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")


def test_a_killed_server_goes_on_with_its_batch(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    options = (*tiny_options, "--data-dir", str(tmp_path))
    num_lines = 200
    with server_process(*options) as server:
        batch_id = batches.begin(server, num_lines, num_tokens=8)
        wait_until(lambda: batches.num_answered(server, batch_id) >= 50)
        batches.kill(server)
    with server_process(*options) as server:
        already = batches.num_answered(server, batch_id)
        assert already >= 50, "what was answered is still there"
        wait_until(batches.has_ended(server, batch_id))
        found = batches.answers(server, batch_id)
        assert sorted(found) == sorted(f"line-{number}" for number in range(num_lines))
        for number in (0, 7, 151, 199):
            body = batches.line(number, 8)["body"]
            direct = httpx.post(f"{server.address}{batches.URL}", json=body, timeout=PATIENCE).json()
            assert found[f"line-{number}"] == direct["choices"][0]["text"]
