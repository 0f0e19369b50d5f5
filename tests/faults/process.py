"""A server as an operator starts it, in processes of its own, and a look at those processes."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import IO

import httpx

from tests.waiting import PATIENCE, wait_until

_BASE_URL = re.compile(r"(?:base URL|is ready): +(http\S+)/v1")
_SERVE = ("serve", "--port", "0")


class ServerProcess:
    """`caravan serve` with `options`; `address` is its address without `/v1`, once it has printed it.

    `verb` is what else of `caravan` serves. `prepare` runs in the new process before the server does: the
    place to set limits on it.
    """

    def __init__(
        self,
        *options: str,
        verb: Sequence[str] = _SERVE,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "caravan", *verb, *options]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | (env or {}),
            preexec_fn=prepare,
        )
        self._lines: list[str] = []
        self._addresses: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        try:
            self.address = self._wait_for_address()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """What clients of OpenAI's are given: the address with `/v1`."""
        return f"{self.address}/v1"

    @property
    def pid(self) -> int:
        """The process that speaks HTTP."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far, log lines included."""
        return "".join(self._lines)

    @property
    def has_ended(self) -> bool:
        """Whether the process that speaks HTTP is gone."""
        return self._process.poll() is not None

    def engine_pid(self, *, after: int | None = None) -> int:
        """The process that computes; waits until there is one, and another than `after`."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [pid for pid in child_pids(self.pid) if "caravan.engine" in command_line(pid)]
            return bool(found) and after not in found

        wait_until(is_there)
        return found[0]

    def replace_engine(self, number: int = signal.SIGKILL) -> float:
        """Send a signal to the process that computes, and wait until another is ready; the seconds that took.

        That /ready is a 503 meanwhile may be over before anybody asks.
        """
        engine, begun = self.engine_pid(), time.monotonic()
        os.kill(engine, number)
        self.engine_pid(after=engine)
        self.wait_ready()
        return time.monotonic() - begun

    def wait_ready(self) -> float:
        """Wait for a 200 from /ready; the seconds that took. Raises AssertionError where none comes."""
        begun = time.monotonic()
        wait_until(lambda: _status(f"{self.address}/ready") == 200)
        return time.monotonic() - begun

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _read(self, printed: IO[str]) -> None:
        for line in printed:
            self._lines.append(line)
            if found := _BASE_URL.search(line):
                self._addresses.put(found[1])
        self._addresses.put(None)

    def _wait_for_address(self) -> str:
        address = self._addresses.get(timeout=PATIENCE)
        assert address is not None, f"the server ended: {self.output}"
        return address


@contextlib.contextmanager
def server_process(
    *options: str,
    verb: Sequence[str] = _SERVE,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Generator[ServerProcess, None, None]:
    """A server for a `with` block. What it printed is shown where the block fails."""
    server = ServerProcess(*options, verb=verb, env=env, prepare=prepare)
    try:
        yield server
    except BaseException:
        print(server.output)
        raise
    finally:
        server.stop()


def child_pids(pid: int) -> list[int]:
    """Processes whose parent is `pid`, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(folder.name))
    return found


def is_running(pid: int) -> bool:
    """Whether a process lives; one that waits to be collected does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command_line(pid: int) -> str:
    """Its words, with spaces between; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def resident_bytes(pid: int | str) -> int:
    """Memory of a process that is in use now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def open_descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=PATIENCE).status_code
    except httpx.HTTPError:
        return 0
