"""The servers under test: how each is started with equal context, parallelism and threads, and its memory."""

import contextlib
import enum
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.builds import Peers

_START_SECONDS = 180
_STOP_SECONDS = 15
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What all servers get alike: each of `parallel` sequences may have `context` tokens."""

    model: Path
    context: int
    parallel: int
    threads: int
    # Requests that may run at once where memory alone is the limit; None means `parallel`.
    max_running: int | None = None
    # The model is one that ranks.
    ranks: bool = False
    # Where prefixes are kept from one start to the next, by servers that do.
    prefix_cache: Path | None = None

    @property
    def cells(self) -> int:
        return self.context * self.parallel


class Keeping(enum.Enum):
    """Who does what about prompts that are to be known after a restart."""

    ITSELF = "it keeps them by itself"
    BY_SLOT = "its clients have it save and restore slots"
    NOT = "it has no way to keep prompts over a restart"


@dataclass(frozen=True)
class Kind:
    """A server by name: its command line, the path that answers 200 once it takes requests, and what it does
    about prompts that are to be known after a restart.
    """

    name: str
    command: Callable[[Peers, Sizes, int, Path], list[str]]
    ready_path: str
    environment: Callable[[Peers], dict[str, str]] = field(default=lambda _peers: {})
    keeping: Keeping = Keeping.NOT


class ServerError(Exception):
    """A server does not start, or has died."""


class Server:
    """A running server; `seconds_to_ready` is how long its start took."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], port: int, seconds_to_ready: float
    ) -> None:
        self.name = name
        self._process = process
        self.port = port
        self.seconds_to_ready = seconds_to_ready

    def resident_bytes(self) -> int:
        """Memory of the server and its children; what they share counts once (PSS)."""
        return sum(_pss(pid) for pid in _tree(self._process.pid))

    def cpu_seconds(self) -> float:
        """Processor time of the server and its children so far."""
        return sum(_cpu_seconds(pid) for pid in _tree(self._process.pid))

    @property
    def pid(self) -> int:
        return self._process.pid


@contextlib.contextmanager
def running(kind: Kind, peers: Peers, sizes: Sizes, folder: Path) -> Generator[Server, None, None]:
    """Start a server, wait until it is ready, and end it afterwards. Raises ServerError."""
    port = free_port()
    environment = os.environ | kind.environment(peers)
    command = kind.command(peers, sizes, port, folder)
    with started(command, environment, port, kind.ready_path, folder / f"{kind.name}.log") as server:
        yield server


@contextlib.contextmanager
def started(
    command: list[str], environment: dict[str, str], port: int, ready_path: str, log: Path
) -> Generator[Server, None, None]:
    """`running`, for a server of any command line."""
    with log.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            _wait_ready(process, f"http://127.0.0.1:{port}{ready_path}", log)
            yield Server(log.stem, process, port, time.perf_counter() - began)
        finally:
            _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-1500:]
            raise ServerError(f"{log.stem} did not become ready:\n{tail}")
        time.sleep(_PAUSE_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End this server and nothing else, politely first."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found = [pid]
    for parent in found:
        found += [child for child, known in parents.items() if known == parent]
    return found


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _caravan(_peers: Peers, sizes: Sizes, port: int, _folder: Path) -> list[str]:
    running = sizes.max_running or sizes.parallel
    options: dict[str, object] = {
        "model": sizes.model,
        "model-id": "bench",
        "port": port,
        "context-size": sizes.context,
        "kv-cache-tokens": sizes.cells,
        "max-running": running,
        "max-sequences": max(64, running),
        "threads": sizes.threads,
    }
    if sizes.prefix_cache is not None:
        options["prefix-cache-dir"] = sizes.prefix_cache
    return [sys.executable, "-m", "caravan", "serve", *_flags(options, "--")]


def _stock_server(peers: Peers, sizes: Sizes, port: int, folder: Path) -> list[str]:
    assert peers.stock_server is not None
    return [str(peers.stock_server), *_llama_server(peers, sizes, port, folder)[1:]]


def _llama_server(peers: Peers, sizes: Sizes, port: int, _folder: Path) -> list[str]:
    options: dict[str, object] = {
        "model": sizes.model,
        "alias": "bench",
        "host": "127.0.0.1",
        "port": port,
        "ctx-size": sizes.cells,
        "parallel": sizes.parallel,
        "threads": sizes.threads,
        "threads-batch": sizes.threads,
    }
    if sizes.prefix_cache is not None:
        options["slot-save-path"] = sizes.prefix_cache
    ranks = ["--reranking"] if sizes.ranks else []
    return [str(peers.binary("llama-server")), *_flags(options, "--"), *ranks]


def _example_server(peers: Peers, sizes: Sizes, port: int, folder: Path) -> list[str]:
    config = folder / "example-server.json"
    model = {
        "path": str(sizes.model),
        "alias": "bench",
        "n_ctx": sizes.cells,
        "n_seq_max": sizes.parallel,
        "threads": sizes.threads,
        "threads_batch": sizes.threads,
        # As in the configurations that come with it.
        "n_batch": 512,
        "n_ubatch": 512,
        "store_logits": False,
    }
    config.write_text(json.dumps({"server": {"host": "127.0.0.1", "port": port}, "model": model}))
    return [sys.executable, str(peers.example_server), "-C", str(config)]


def _example_environment(peers: Peers) -> dict[str, str]:
    # Our own wheel leaves libmtmd out, which the example imports; the peers' build has it.
    library = str(peers.binaries)
    return {"MTMD_CPP_LIB": library, "LLAMA_CPP_LIB_PATH": library}


def _flags(options: dict[str, object], prefix: str) -> list[str]:
    return [word for name, value in options.items() for word in (prefix + name, str(value))]


OURS = "caravan"
LLAMA_SERVER = "llama-server"
STOCK = "stock llama-server"

KINDS = {
    kind.name: kind
    for kind in (
        Kind(OURS, _caravan, "/ready", keeping=Keeping.ITSELF),
        Kind(LLAMA_SERVER, _llama_server, "/health", keeping=Keeping.BY_SLOT),
        Kind(STOCK, _stock_server, "/health", keeping=Keeping.BY_SLOT),
        # Users do not set this; it shows how much of a difference is the waiting of OpenMP's threads.
        Kind(
            "llama-server, short spin",
            _llama_server,
            "/health",
            lambda _peers: {"GOMP_SPINCOUNT": "1000"},
            keeping=Keeping.BY_SLOT,
        ),
        Kind("example server", _example_server, "/v1/models", _example_environment),
    )
}
