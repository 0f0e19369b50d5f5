"""Batches and uploads whose server is killed: every line is answered once, with the text that it has alone;
what has not come to its end is not there.
"""

import contextlib
import http.client
import sys
from pathlib import Path

import httpx
import pytest

from tests.faults import batches
from tests.faults.process import ServerProcess, server_process
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


def test_an_upload_that_a_kill_cuts_counts_for_nothing(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    options = (*tiny_options, "--batches-dir", str(tmp_path), "--files-bytes", "4MiB")
    num_bytes = 3 * 2**20

    def upload(server: ServerProcess) -> httpx.Response:
        files = {"file": ("in.jsonl", bytes(num_bytes))}
        return httpx.post(
            f"{server.address}/v1/files", data={"purpose": "batch"}, files=files, timeout=PATIENCE
        )

    with server_process(*options) as server:
        address = httpx.URL(server.address)
        with contextlib.closing(http.client.HTTPConnection(address.host, address.port)) as connection:
            connection.putrequest("POST", "/v1/files")
            connection.putheader("Content-Type", "multipart/form-data; boundary=b")
            connection.putheader("Content-Length", str(num_bytes + 200))
            connection.endheaders()
            head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
            connection.send(head + bytes(num_bytes))
            wait_until(lambda: sum(file.stat().st_size for file in (tmp_path / "files").iterdir()) >= 2**20)
            batches.kill(server)
    with server_process(*options) as server:
        assert httpx.get(f"{server.address}/v1/files", timeout=PATIENCE).json()["data"] == []
        # There is room for one such file, and not for what is left of another.
        found = upload(server)
        assert found.status_code == 200, found.text
        assert upload(server).json()["error"]["code"] == "storage_limit_exceeded"
        listed = httpx.get(f"{server.address}/v1/files", timeout=PATIENCE).json()["data"]
        assert [file["id"] for file in listed] == [found.json()["id"]]
