"""What requests and tokens cost the web process: `python -m tests.bench.web` prints a table.

The engine behind it computes nothing. Processor seconds of the web process alone are counted, so the numbers
hold on a busy machine, but for the caches that it shares. With `--against`, other trees' `server` take turns
with this one.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from caravan.models.resident import RESIDENT_ID

from tests.bench.client import run
from tests.bench.plan import Plan, Script
from tests.bench.servers import free_port, started

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NUM_CLIENTS = 16
_QUESTION = "Tell me a story about a cat, a dog and a caravan that went to sea. " * 4


@dataclass(frozen=True)
class Work:
    """What each of the clients asks for: so many answers of so many tokens."""

    num_answers: int
    num_tokens: int
    stream: bool = True

    def plan(self, port: int) -> Plan:
        """The same for every client."""
        body: dict[str, Any] = {
            "model": RESIDENT_ID,
            "messages": [{"role": "user", "content": _QUESTION}],
            "max_tokens": self.num_tokens,
            "temperature": 0,
        }
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        scripts = [Script(bodies=[body] * self.num_answers)] * NUM_CLIENTS
        return Plan(port=port, path="/v1/chat/completions", scripts=scripts)


SHORT = Work(25, 6)
LONG = Work(1, 600)
WHOLE = Work(25, 6, stream=False)


@dataclass(frozen=True)
class Costs:
    """Microseconds of processor time. `request` is that of one without any token."""

    request: float
    whole: float
    token: float
    ready: float


def measure(tree: Path) -> Costs:
    """A fresh server of this tree, warmed up, under each of the works."""
    port = free_port()
    host = tree / HERE.relative_to(ROOT) / "host.py"
    command = [sys.executable, os.fspath(host), "serve", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.fspath, _sources(tree)))}
    with (
        tempfile.TemporaryDirectory() as folder,
        started(command, environment, port, "/ready", Path(folder) / "log") as server,
    ):
        ready = _cpu_seconds(server.pid)
        asyncio.run(run(SHORT.plan(port)))
        short, long, whole = (_seconds(work, server.pid, port) for work in (SHORT, LONG, WHOLE))
    # A short answer and a long one, each a request and its tokens.
    token = (long - short) / (LONG.num_tokens - SHORT.num_tokens)
    return Costs(request=short - SHORT.num_tokens * token, whole=whole, token=token, ready=ready * 1e3)


def _sources(tree: Path) -> list[Path]:
    """Where a tree has its packages; older ones have them at their root."""
    return [tree, tree / "server", tree / "schemas"]


def _seconds(work: Work, pid: int, port: int) -> float:
    """Microseconds an answer."""
    before = _cpu_seconds(pid)
    outcome = asyncio.run(run(work.plan(port)))
    spent = _cpu_seconds(pid) - before
    # A whole answer is no events, and has "no text" for this client.
    failed = [exchange.error for exchange in outcome.exchanges if exchange.error not in ("", "no text")]
    assert not failed, failed[0]
    return spent * 1e6 / len(outcome.exchanges)


def _cpu_seconds(pid: int) -> float:
    """What a process has taken so far, all its threads together: Linux's number for another's clock."""
    return time.clock_gettime(~pid << 3 | 2)


def table(trees: list[Path], num_rounds: int) -> Iterator[str]:
    """Lines of a Markdown table: medians and extremes. The order of the trees turns with each round."""
    costs: dict[Path, list[Costs]] = {tree: [] for tree in trees}
    for number in range(num_rounds):
        for tree in trees if number % 2 else reversed(trees):
            costs[tree].append(measure(tree))
    yield "| tree | request, µs | whole answer of 6 tokens, µs | token, µs | until ready, ms |"
    yield "| --- | --- | --- | --- | --- |"
    for tree in trees:
        cells = " | ".join(
            f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
            for values in zip(*map(astuple, costs[tree]), strict=True)
        )
        yield f"| {tree.name} | {cells} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="roots of other trees")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    trees = [ROOT, *(tree.resolve() for tree in arguments.against)]
    for line in table(trees, arguments.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
