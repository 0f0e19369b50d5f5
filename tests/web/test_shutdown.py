"""How a server ends that is told to: no more requests, time for what is being made, and then an end."""

import contextlib
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from caravan.api.store import Limits, Store

from tests.cli.test_cli import ROOT, serving
from tests.conftest import TinyModels
from tests.faults.process import child_pids, is_running
from tests.waiting import PATIENCE, wait_until
from tests.web.uvicorn.raw import connection, head, takes_connections

RESPONSES = "/responses"


@pytest.mark.parametrize(
    ("grace", "num_tokens", "status"), [("60", 400, "incomplete"), ("0", 60_000, "failed")]
)
def test_background_responses_have_their_time(
    tiny_models: TinyModels, tmp_path: Path, grace: str, num_tokens: int, status: str
) -> None:
    model, database = tiny_models["qwen2"], tmp_path / "responses.db"
    options = ("--shutdown-seconds", grace, "--responses-db", str(database), "--context-size", "65536")
    with serving("--model", str(model), *options) as (process, shown):
        base = shown[shown.index("http://") :].split()[0]
        body = {"model": model.stem, "input": "Hi", "background": True, "max_output_tokens": num_tokens}
        answer = httpx.post(base + RESPONSES, json=body | {"ignore_eos": True}, timeout=PATIENCE)
        assert answer.json()["status"] == "queued"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    with contextlib.closing(Store(database, Limits(max_seconds=1e9, max_bytes=10**9))) as store:
        assert store.get("", answer.json()["id"])["status"] == status


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_what_the_first_one_waits_for(
    tiny_models: TinyModels, number: signal.Signals
) -> None:
    options = ("--shutdown-seconds", "3600", "--body-seconds", "3600")
    with serving("--model", str(tiny_models["qwen2"]), *options) as (process, shown):
        address = shown[shown.index("http://") :].split()[0]
        children = child_pids(process.pid)
        assert children
        with connection(address) as unfinished:
            unfinished.sendall(head("/v1/completions", "content-length: 10"))
            wait_until(lambda: httpx.get(address.removesuffix("/v1") + "/health").status_code == 200)
            process.send_signal(number)
            wait_until(lambda: not takes_connections(address))
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
            wait_until(lambda: not any(map(is_running, children)))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the child in /proc")
def test_a_signal_while_the_model_loads(tiny_models: TinyModels) -> None:
    port = _quiet_port()
    command = [sys.executable, "-m", "caravan", "serve", "--port", str(port)]
    with subprocess.Popen([*command, "--model", str(tiny_models["qwen2"])], cwd=ROOT) as process:
        try:
            wait_until(lambda: takes_connections(f"http://127.0.0.1:{port}"))
            wait_until(lambda: bool(child_pids(process.pid)))
            children = child_pids(process.pid)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
            wait_until(lambda: not any(map(is_running, children)))
        finally:
            process.kill()


def _quiet_port() -> int:
    """A port below those that systems hand out: nobody gets it by chance, or connects to itself there."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
