"""Compiles with CMake and ninja, visibly: a line that moves on a terminal, a line now and then in a log."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from deploy.build.toolchain import BuildError, Toolchain

_LINES_ON_FAILURE = 40
_KIB_PER_JOB = 1024**2
# `[n/m] command`, as ninja writes it, and the file that a command compiles.
_STEP = re.compile(r"\s*(\[\s*\d+/\d+\])")
_SOURCE = re.compile(r"\s-c\s+\S*?([^/\s]+/[^/\s]+)(?=\s|$)")
_LOG_SECONDS = 10.0
_TERMINAL_SECONDS = 1.0
_WIDTH = 78


def compile_wheel(
    source: Path, arguments: Sequence[str], toolchain: Toolchain, folder: Path, log: Path
) -> Path:
    """Build the wheel of `source` into the emptied `folder` with these CMake arguments. Raises BuildError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Without pip's isolation, the build tools are our pinned ones; without its cache, the wheel is new.
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir"]
    command += ["--no-build-isolation", f"--wheel-dir={folder}", str(source)]
    environment = toolchain.environment()
    environment["CMAKE_ARGS"] = shlex.join(arguments)
    environment["CMAKE_GENERATOR"] = "Ninja"
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(num_jobs()))
    run("llama.cpp", [command], environment, log)
    (wheel,) = folder.glob("*.whl")
    return wheel


def num_jobs() -> int:
    """As many compilers as processors, and a GiB of free memory for each: the largest files take that."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = Path("/proc/meminfo").read_text()
    except OSError:
        return processors
    available = re.search(r"^MemAvailable:\s+(\d+) kB", memory, re.MULTILINE)
    return max(1, min(processors, int(available[1]) // _KIB_PER_JOB)) if available else processors


def run(title: str, commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path) -> None:
    """Run one command after the other, with all that they say in `log`. Raises BuildError."""
    tail: deque[str] = deque(maxlen=_LINES_ON_FAILURE)
    progress = Progress(title, sys.stderr)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        for command in commands:
            with subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    file.write(line)
                    tail.append(line)
                    progress.feed(line)
            if process.returncode != 0:
                progress.finish("failed")
                raise BuildError(f"{''.join(tail)}\n{title} was not built; the whole log is in {log}")
    progress.finish("compiled")


class Progress:
    """Shows ninja's newest step with the time since the start."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._started = time.monotonic()
        self._pause = _TERMINAL_SECONDS if stream.isatty() else _LOG_SECONDS
        self._next = self._started

    def feed(self, line: str) -> None:
        """Take a line of the build's output."""
        step = _STEP.match(line)
        if step is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._pause
        source = _SOURCE.search(line)
        self._show(f"{step[1]} {source[1] if source else ''}", "" if self._stream.isatty() else "\n")

    def finish(self, text: str) -> None:
        """Close with a line that stays."""
        self._show(text, "\n")

    def _show(self, text: str, end: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        line = f"{self._title}  {minutes}:{seconds:02}  {text}"
        if self._stream.isatty():
            line = f"\r{line[:_WIDTH]:<{_WIDTH}}"
        self._stream.write(line.rstrip(" ") + end if end else line)
        self._stream.flush()
