"""A batch at a server that is killed in the middle of it, and what has become of its lines."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.faults.conftest import MODEL
from tests.faults.process import ServerProcess
from tests.waiting import PATIENCE, wait_until

URL = "/v1/completions"
ENDED = ("failed", "completed", "expired", "cancelled")
WORDS = ("river", "stone", "bread", "winter", "lamp", "garden", "letter", "ship")


def line(number: int, num_tokens: int) -> dict[str, Any]:
    """A line whose answer is that of its number alone."""
    prompt = f"The {WORDS[number % 8]} and the {WORDS[number // 8 % 8]}, story {number}:"
    body = {"model": MODEL, "prompt": prompt, "max_tokens": num_tokens, "temperature": 0, "ignore_eos": True}
    return {"custom_id": f"line-{number}", "method": "POST", "url": URL, "body": body}


def begin(server: ServerProcess, num_lines: int, num_tokens: int) -> str:
    """Upload so many lines, and have them answered; the id of the batch."""
    data = "".join(f"{json.dumps(line(number, num_tokens))}\n" for number in range(num_lines))
    form = {"purpose": "batch"}
    files = {"file": ("in.jsonl", data.encode())}
    uploaded = httpx.post(f"{server.address}/v1/files", data=form, files=files, timeout=PATIENCE).json()
    body = {"input_file_id": uploaded["id"], "endpoint": URL, "completion_window": "24h"}
    begun = httpx.post(f"{server.address}/v1/batches", json=body, timeout=PATIENCE)
    assert begun.status_code == 200, begun.text
    return str(begun.json()["id"])


def state(server: ServerProcess, batch_id: str) -> dict[str, Any]:
    """A batch as it stands."""
    found: dict[str, Any] = httpx.get(f"{server.address}/v1/batches/{batch_id}", timeout=PATIENCE).json()
    return found


def num_answered(server: ServerProcess, batch_id: str) -> int:
    """How many of its lines have an answer."""
    return int(state(server, batch_id)["request_counts"]["completed"])


def has_ended(server: ServerProcess, batch_id: str) -> Callable[[], bool]:
    """Whether a batch has ended, as tests wait for it."""
    return lambda: state(server, batch_id)["status"] in ENDED


def kill(server: ServerProcess) -> None:
    """Kill the process that speaks HTTP, which takes its engine with it."""
    engine = server.engine_pid()
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: server.has_ended and not Path(f"/proc/{engine}").exists())


def answers(server: ServerProcess, batch_id: str) -> dict[str, str]:
    """The texts by their lines. Raises AssertionError where a line is answered twice or with an error."""
    batch = state(server, batch_id)
    assert (batch["status"], batch["error_file_id"]) == ("completed", None), batch
    path = f"/v1/files/{batch['output_file_id']}/content"
    rows = [
        json.loads(text)
        for text in httpx.get(server.address + path, timeout=PATIENCE).text.split("\n")
        if text
    ]
    texts = {row["custom_id"]: row["response"]["body"]["choices"][0]["text"] for row in rows}
    assert len(texts) == len(rows), "a line is answered twice"
    return texts
