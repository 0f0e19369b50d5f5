"""Lets a wheel that is not installed yet answer its first prompt, in a process that may die of it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from deploy.build.recipe import Backend

ROOT = Path(__file__).parents[2]
_TIMEOUT_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Trial:
    """How it went. `problem` is None for a wheel that may be trusted; `summary` is a line for people.

    `only_gpu` says that the problem is not one of the CPU's kernels.
    """

    problem: str | None
    summary: str = ""
    only_gpu: bool = False


def try_wheel(wheel: Path, backend: Backend) -> Trial:
    """Unpack the wheel beside everything else and run `first_prompt` on it."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        return _run(Path(folder), backend)


def _run(folder: Path, backend: Backend) -> Trial:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), str(ROOT / "server")]),
    }
    # It would put another library in the place of the one under trial.
    environment.pop("LLAMA_CPP_LIB_PATH", None)
    command = [sys.executable, "-m", "deploy.build.first_prompt"]
    command += ["--gpu"] if backend in (Backend.CUDA, Backend.METAL) else []
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(f"no answer within {_TIMEOUT_SECONDS} seconds")
    return judge(done.returncode, done.stdout, done.stderr, folder)


def judge(status: int, output: str, errors: str, folder: Path) -> Trial:
    """Read the exit status and the report of `first_prompt`, which has to come from inside `folder`."""
    if status < 0:
        return Trial(f"it died of {signal.Signals(-status).name} at its first prompt")
    try:
        report = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return Trial(f"the first prompt gave no result:\n{errors[-2000:]}")
    if status != 0:
        return Trial(str(report["error"]), only_gpu=bool(report["gpu"]))
    if not Path(report["library"]).resolve().is_relative_to(folder.resolve()):
        return Trial(f"another library was loaded: {report['library']}")
    worst = max(report["differences"].values())
    return Trial(None, f"logits agree within {worst:.1%} on {', '.join(report['differences'])}")
