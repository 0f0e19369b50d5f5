"""Compiled wheels: tried, kept by digest, installed.

They are kept in this checkout, and for its neighbours in the user's cache. pip's own cache is never used,
because it files a wheel under its version alone, whatever it was built with.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from deploy.build.recipe import Backend
from deploy.build.source import PACKAGE
from deploy.build.toolchain import BuildError

ROOT = Path(__file__).parents[2]
_MARKER = "checked.json"
_RECORD = "llama-build.json"
_TIMEOUT_SECONDS = 300


@dataclasses.dataclass(frozen=True)
class Trial:
    """How the first prompt went. `problem` is None for a wheel that may be trusted; `summary` is for people.

    `only_gpu` says that the problem is not one of the CPU's kernels.
    """

    problem: str | None
    summary: str = ""
    only_gpu: bool = False


def try_wheel(wheel: Path, backend: Backend) -> Trial:
    """Let a wheel that is not installed yet answer its first prompt, in a process that may die of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        paths = (folder, ROOT, ROOT / "server")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths)}
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


@dataclasses.dataclass(frozen=True)
class WheelStore:
    """Folders asked in turn; what is saved goes into all of them."""

    folders: tuple[Path, ...]

    def find(self, digest: str) -> Path | None:
        """The wheel of that digest, if its bytes are still those that were checked."""
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                marker = json.loads((folder / digest / _MARKER).read_text())
                wheel = folder / digest / Path(marker["wheel"]).name
                if sha256(wheel) == marker["sha256"]:
                    return wheel
        return None

    def save(self, digest: str, wheel: Path) -> Path:
        """Keep a wheel that has passed the check; returns it at its new place, the first folder."""
        first, *others = self.folders
        saved = _write(first / digest, wheel)
        for folder in others:
            # Sharing is a courtesy: a read-only home must not fail a build.
            with contextlib.suppress(OSError):
                _write(folder / digest, wheel)
        return saved

    def discard(self, digest: str) -> None:
        """Forget a wheel that no longer passes."""
        for folder in self.folders:
            shutil.rmtree(folder / digest, ignore_errors=True)


def open_store(build: Path, environment: Mapping[str, str]) -> WheelStore:
    """The checkout's store and the shared one: LLAMA_WHEEL_CACHE, where an empty value means none.

    The name keeps off CARAVAN_, under which the server reads its settings.
    """
    default = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache", "caravan", "wheels")
    shared = environment.get("LLAMA_WHEEL_CACHE", str(default))
    return WheelStore((build / "wheels", *([Path(shared)] if shared else [])))


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, wheel: Path) -> Path:
    # The marker comes last and in one move: a half-copied wheel has none, so it is never found.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).unlink(missing_ok=True)
    target = folder / wheel.name
    shutil.copyfile(wheel, target)
    draft = folder / f"{_MARKER}.{os.getpid()}"
    draft.write_text(json.dumps({"wheel": target.name, "sha256": sha256(wheel)}))
    draft.replace(folder / _MARKER)
    return target


def install(wheel: Path, digest: str) -> None:
    """Put the wheel into the environment of this Python. Raises BuildError."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--force-reinstall", str(wheel)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise BuildError(f"pip could not install {wheel}")
    Path(sys.prefix, _RECORD).write_text(json.dumps({"digest": digest, "sha256": sha256(wheel)}))


def is_installed(digest: str) -> bool:
    """Whether the environment holds what was installed here under that digest, and not something newer."""
    try:
        record = json.loads(Path(sys.prefix, _RECORD).read_text())
        origin = importlib.metadata.distribution(PACKAGE).read_text("direct_url.json")
        archive = json.loads(origin or "{}").get("archive_info", {})
    except (OSError, ValueError, importlib.metadata.PackageNotFoundError):
        return False
    installed = archive.get("hashes", {}).get("sha256")
    return bool(record.get("digest") == digest and record.get("sha256") == installed)
