"""A control group with little memory for a server, where this machine lets one be made."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.waiting import wait_until

_MOUNTS = Path("/sys/fs/cgroup")
# Touches memory, so much for each line it reads.
_HOG = """
import sys
held = []
for line in sys.stdin:
    held.append(b"x" * int(line))
    print(len(held), flush=True)
"""


class MemoryGroup:
    """A group of either version; `limit` and `used` are in bytes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        is_old = (home / "memory.limit_in_bytes").exists()
        self._limit = home / ("memory.limit_in_bytes" if is_old else "memory.max")
        self._used = home / ("memory.usage_in_bytes" if is_old else "memory.current")

    def enter(self) -> None:
        """Move this process in, and all that it starts."""
        (self._home / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def used(self) -> int:
        """What all its processes have, files in memory included."""
        return int(self._used.read_text())

    def limit(self, num_bytes: int) -> None:
        """Let it have so much."""
        self._limit.write_text(str(num_bytes))

    def close(self) -> None:
        """Take it away, once the last process in it has ended."""
        wait_until(lambda: not (self._home / "cgroup.procs").read_text())
        self._home.rmdir()


class Hog:
    """Processes in a group that take its memory piece by piece; each stays smaller than a server."""

    _LARGEST = 48 << 20

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group
        self._processes: list[subprocess.Popen[str]] = []
        self._taken = self._LARGEST

    def take(self, num_bytes: int) -> None:
        """Take more; does not wait until it has it."""
        if self._taken >= self._LARGEST:
            self._start()
        self._taken += num_bytes
        stdin = self._processes[-1].stdin
        assert stdin is not None
        stdin.write(f"{num_bytes}\n")
        stdin.flush()

    def close(self) -> None:
        """End it, and give back what it has."""
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        self._processes.clear()

    def _start(self) -> None:
        self._taken = 0
        self._processes.append(
            subprocess.Popen(
                [sys.executable, "-c", _HOG],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                preexec_fn=self._group.enter,
            )
        )


@contextlib.contextmanager
def memory_group() -> Generator[MemoryGroup, None, None]:
    """A group for a `with` block; skips the test where none can be made."""
    home = _own_home() / f"caravan-test-{os.getpid()}"
    try:
        home.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    group = MemoryGroup(home)
    try:
        group.used  # noqa: B018 (where groups have no memory, the file is not there)
    except OSError as error:
        group.close()
        pytest.skip(f"control groups have no limits of memory here: {error}")
    try:
        yield group
    finally:
        group.close()


def _own_home() -> Path:
    """The directory of the group that this process is in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return _MOUNTS / "memory" / path.lstrip("/")
    return _MOUNTS / path.lstrip("/")
