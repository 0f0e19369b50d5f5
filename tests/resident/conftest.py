"""A live server, started as a user would, on a free port of 127.0.0.1, with the model that ships."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

START_SECONDS = 120


class LiveServer:
    """`caravan serve` in a process of its own; `url` is its base URL, ending in /v1."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "server", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
        )
        self.output: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.url = self._wait_for_url()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self._reader.join()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def _wait_for_url(self) -> str:
        while True:
            line = self._lines.get(timeout=START_SECONDS)
            assert line is not None, f"the server ended: {''.join(self.output)}"
            if found := re.search(r"base URL: +(http\S+/v1)", line):
                return found[1]


@pytest.fixture(scope="session")
def live_server() -> Iterator[LiveServer]:
    """One server with the resident model for the whole session."""
    server = LiveServer("--threads", "1")
    yield server
    assert server.stop() == 0, "".join(server.output)
