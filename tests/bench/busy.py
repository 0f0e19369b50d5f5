"""Answers beside programs that keep processors busy: `python -m tests.bench.busy MODEL.gguf` prints a table.

One server takes one thread, one all, one is left to find out; with `--peers`, llama-server takes all, too.
They answer by turns, so that all meet the same machine. Each writes some texts first, in which ours learns.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Iterator
from pathlib import Path

from caravan.runtime.machine import usable_cores

from tests.bench.builds import ensure_peers
from tests.bench.servers import KINDS, Server, Sizes, free_port, running, started

ROOT = Path(__file__).parents[2]
NUM_TOKENS = 40
WARM_TOKENS = 200
LOADS = (0, 2, 4)
ROUNDS = 7
_LOOP = "while True: pass"


@contextlib.contextmanager
def busy(count: int) -> Generator[None, None, None]:
    """So many programs that never wait; each ends with the block."""
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def ours(model: Path, folder: Path, *options: str) -> Generator[Server, None, None]:
    """Our server with these options."""
    port = free_port()
    command = [sys.executable, "-m", "caravan", "serve", "--model", str(model), "--model-id", "bench"]
    command += ["--port", str(port), "--speculative", "0", *options]
    log = folder / f"busy-{port}.log"
    with started(command, dict(os.environ), port, "/ready", log) as server:
        yield server


def seconds_of(server: Server, num_tokens: int) -> float:
    """How long an answer of so many tokens takes."""
    body = {"model": "bench", "prompt": "Once upon a time", "max_tokens": num_tokens, "temperature": 0}
    body |= {"ignore_eos": True}
    url = f"http://127.0.0.1:{server.port}/v1/completions"
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        told = json.load(answer)
    assert told["usage"]["completion_tokens"] == num_tokens
    return time.perf_counter() - began


def table(servers: dict[str, Server]) -> Iterator[str]:
    """Lines of a Markdown table: medians, and the longest."""
    yield f"| busy programs | {' | '.join(f'{name}, s' for name in servers)} |"
    yield "| --- |" + " --- |" * len(servers)
    for count in LOADS:
        with busy(count):
            for server in servers.values():
                seconds_of(server, WARM_TOKENS)
            taken = {name: list[float]() for name in servers}
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    taken[name].append(seconds_of(server, NUM_TOKENS))
        cells = [f"{statistics.median(found):.2f} ({max(found):.2f})" for found in taken.values()]
        yield f"| {count} | {' | '.join(cells)} |"


def main() -> int:
    """Print the table for a model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--peers", action="store_true", help="llama-server, too")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    cores = usable_cores()
    with contextlib.ExitStack() as stack:
        servers = {
            "one thread": ("--threads", "1"),
            f"{cores} threads": ("--threads", str(cores), "--no-adaptive-threads"),
            f"up to {cores}": ("--threads", str(cores)),
        }
        opened = {
            name: stack.enter_context(ours(given.model, given.folder, *options))
            for name, options in servers.items()
        }
        if given.peers:
            peers = ensure_peers(given.folder)
            sizes = Sizes(model=given.model, context=2048, parallel=1, threads=cores)
            server = running(KINDS["llama-server"], peers, sizes, given.folder)
            opened["llama-server"] = stack.enter_context(server)
        for line in table(opened):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
