"""The whole corpus of hostile constraints against one running server, several at once, beside a stream."""

import json
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from caravan.api.structured.compiler import COMPILE_SECONDS
from caravan.config.settings import Settings
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.models import registry_of
from caravan.models.resident import RESIDENT_ID

from tests.e2e.hostile_constraints import ALL
from tests.faults.process import resident_bytes
from tests.live_server import engine_of, live_server

NUM_CLIENTS = 8
# A request may have seven neighbours before it in the queue; 24 tokens on a busy machine come after that.
LIMIT_SECONDS = NUM_CLIENTS * COMPILE_SECONDS + 60
MEGABYTE = 2**20
# What both processes together may grow by: each keeps compiled grammars, and one of them can be 200 MB.
MAX_GROWTH = 1024 * MEGABYTE


@dataclass
class Served:
    """A server of the resident model."""

    engine: AsyncEngine
    client: httpx.Client

    def ask(self, fields: dict[str, Any], *, seed: int = 1, max_tokens: int = 24) -> httpx.Response:
        body = {"model": RESIDENT_ID, "prompt": "JSON: ", "temperature": 1.5} | fields
        # Python reads a number too large for it as infinity, for which JSON has no other word.
        content = json.dumps(body | {"max_tokens": max_tokens, "seed": seed}).replace("Infinity", "1e400")
        return self.client.post("/v1/completions", content=content)


@dataclass
class Stream(threading.Thread):
    """An ordinary client that reads one answer after the other, and what it saw of them."""

    served: Served
    reasons: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    is_over: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        body = {"model": RESIDENT_ID, "prompt": "Once", "stream": True, "max_tokens": 64, "ignore_eos": True}
        while not self.is_over:
            with self.served.client.stream("POST", "/v1/completions", json=body) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        self._take(json.loads(line.removeprefix("data: ")))

    def _take(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self.faults.append(event["error"]["message"])
        else:
            self.reasons += [c["finish_reason"] for c in event["choices"] if c["finish_reason"]]


@pytest.fixture(scope="module")
def served() -> Generator[Served, None, None]:
    settings = Settings(context_size=2048, threads=1)
    registry = registry_of(settings)
    with live_server(registry, settings) as address, httpx.Client(base_url=address) as client:
        yield Served(engine_of(registry, RESIDENT_ID), client)


def fault_of(answer: httpx.Response, fields: dict[str, Any], seconds: float) -> str | None:
    """What is wrong with how a request ended."""
    (name,) = fields
    if seconds > LIMIT_SECONDS:
        return f"took {seconds:.1f} s"
    if answer.status_code == 200:
        (choice,) = answer.json()["choices"]
        return None if choice["finish_reason"] in ("stop", "length") else str(choice)
    if answer.status_code != 400:
        return answer.text
    error = answer.json()["error"]
    # What is no text at all was refused before it was a constraint, below the same field.
    is_named = (error["param"] or "").split(".")[0] == name
    is_clear = name in error["message"] and "\n" not in error["message"] and "panic" not in error["message"]
    return None if is_named and is_clear else str(error)


def test_hostile_constraints_are_refused_or_bounded_beside_a_stream(served: Served) -> None:
    pids: tuple[int | str, int | str] = ("self", served.engine.pid or 0)
    before, stream = sum(map(resident_bytes, pids)), Stream(served)
    stream.start()

    def judged(number: int) -> str | None:
        fields = ALL[number]
        begun = time.monotonic()
        answer = served.ask(fields, seed=number)
        fault = fault_of(answer, fields, time.monotonic() - begun)
        return fault and f"{json.dumps(fields)[:80]}: {fault}"

    try:
        with ThreadPoolExecutor(NUM_CLIENTS) as clients:
            faults = list(clients.map(judged, range(len(ALL))))
    finally:
        stream.is_over = True
        stream.join()
    assert len(ALL) > 300
    assert [fault for fault in faults if fault] == []
    assert len(stream.reasons) > 1
    assert set(stream.reasons) == {"length"}
    assert stream.faults == []
    assert (served.engine.pid, served.engine.num_restarts) == (pids[1], 0)
    assert sum(map(resident_bytes, pids)) - before < MAX_GROWTH
    assert served.ask({"guided_choice": ["alive"]}).json()["choices"][0]["text"] == "alive"
