"""Compiles llama-cpp-python's source distribution to a wheel, visibly."""

import contextlib
import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.build.compiler import Toolchain
from deploy.build.errors import BuildError
from deploy.build.progress import Progress
from deploy.build.recipe import PACKAGE

_LINES_ON_FAILURE = 40
_KIB_PER_JOB = 1024**2


def compile_wheel(
    version: str, arguments: Sequence[str], toolchain: Toolchain, folder: Path, log: Path
) -> Path:
    """Build the wheel into the emptied `folder` with these CMake arguments. Raises BuildError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Without pip's isolation, the build tools are our pinned ones; without its cache, the wheel is new.
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir"]
    command += ["--no-build-isolation", f"--no-binary={PACKAGE}", f"--wheel-dir={folder}"]
    command.append(f"{PACKAGE}=={version}")
    environment = _environment(arguments, toolchain)
    progress = Progress("llama.cpp", sys.stderr)
    status, tail = _run(command, environment, log, progress)
    wheels = list(folder.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        progress.finish("failed")
        raise BuildError(f"{''.join(tail)}\nllama.cpp was not built; the whole log is in {log}")
    progress.finish("compiled")
    return wheels[0]


def _environment(arguments: Sequence[str], toolchain: Toolchain) -> dict[str, str]:
    environment = dict(os.environ)
    # The flags are in the arguments already; CMake would put those of the environment in a second time.
    for name in ("CFLAGS", "CXXFLAGS"):
        environment.pop(name, None)
    environment["CC"] = shlex.join(toolchain.c.command)
    environment["CXX"] = shlex.join(toolchain.cxx.command)
    environment["CMAKE_ARGS"] = shlex.join(arguments)
    environment["CMAKE_GENERATOR"] = "Ninja"
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(num_jobs()))
    tools = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([tools, environment.get("PATH", os.defpath)])
    return environment


def num_jobs() -> int:
    """As many compilers as processors, and a GiB of free memory for each: the largest files take that."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = Path("/proc/meminfo").read_text()
    except OSError:
        return processors
    available = re.search(r"^MemAvailable:\s+(\d+) kB", memory, re.MULTILINE)
    return max(1, min(processors, int(available[1]) // _KIB_PER_JOB)) if available else processors


def _run(
    command: Sequence[str], environment: dict[str, str], log: Path, progress: Progress
) -> tuple[int, Sequence[str]]:
    """Run, log and show; returns the exit status and the last lines."""
    tail: deque[str] = deque(maxlen=_LINES_ON_FAILURE)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file, _started(command, environment) as process:
        for line in _lines(process):
            if line is None:
                progress.tick()
                continue
            file.write(line)
            tail.append(line)
            progress.feed(line)
        return process.wait(), tail


@contextlib.contextmanager
def _started(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            yield process
        finally:
            # After Ctrl-C, pip is on its way out as well and removes its temporary folder.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """Lines as they come, and None each second without one."""
    arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            arrived.put(line)
        arrived.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        try:
            line = arrived.get(timeout=1)
        except queue.Empty:
            yield None
            continue
        if line is None:
            return
        yield line
