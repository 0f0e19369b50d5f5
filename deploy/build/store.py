"""Wheels that passed the check, kept by digest: in this checkout, and for its neighbours in the user's cache.

pip's own cache is never used, because it files a wheel under its version alone, whatever it was built with.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.build.amx import Amx

_MARKER = "checked.json"


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A wheel file, its sha256 and what was done about AMX in it."""

    path: Path
    sha256: str
    amx: Amx


@dataclasses.dataclass(frozen=True)
class WheelStore:
    """Folders asked in turn; what is saved goes into all of them."""

    folders: tuple[Path, ...]

    def find(self, digest: str) -> Wheel | None:
        """The wheel of that digest, if its bytes are still those that were checked."""
        for folder in self.folders:
            wheel = _read(folder / digest)
            if wheel is not None:
                return wheel
        return None

    def save(self, digest: str, wheel: Wheel) -> Wheel:
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


def _read(folder: Path) -> Wheel | None:
    try:
        marker = json.loads((folder / _MARKER).read_text())
        wheel = Wheel(folder / Path(marker["wheel"]).name, marker["sha256"], Amx(marker["amx"]))
        return wheel if sha256(wheel.path) == wheel.sha256 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(folder: Path, wheel: Wheel) -> Wheel:
    # The marker comes last and in one move: a half-copied wheel has none, so it is never found.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).unlink(missing_ok=True)
    target = folder / wheel.path.name
    if target != wheel.path:
        shutil.copyfile(wheel.path, target)
    draft = folder / f"{_MARKER}.{os.getpid()}"
    draft.write_text(json.dumps({"wheel": target.name, "sha256": wheel.sha256, "amx": wheel.amx.value}))
    draft.replace(folder / _MARKER)
    return Wheel(target, wheel.sha256, wheel.amx)
