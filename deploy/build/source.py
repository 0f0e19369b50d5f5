"""llama.cpp's source as it is compiled: that of llama-cpp-python's source distribution, with `patches/`.

A patch that does not fit is left out, as a whole, and the build goes on: patches make the library faster and
its answers repeatable, and the server asks the library what it has (`llama_print_system_info`).
"""

import dataclasses
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection
from pathlib import Path

from deploy.build.toolchain import BuildError

PACKAGE = "llama-cpp-python"
PATCHES = Path(__file__).with_name("patches")
# In the source distribution.
LLAMA_CPP = Path("vendor", "llama.cpp")
# In llama.cpp; what our own headers are named by, too.
_HEADERS = Path("ggml", "src", "ggml-cpu", "caravan")

_FILE = re.compile(r"^--- .*\n\+\+\+ b/(.*)\n", re.MULTILINE)
_HUNK = re.compile(r"^@@ -(\d+).*\n", re.MULTILINE)


class PatchError(Exception):
    """A patch does not fit the source. The message says where."""


@dataclasses.dataclass(frozen=True)
class Patches:
    """Names of the patches that are in a source, and of those that are not, with the reason."""

    applied: tuple[str, ...]
    left_out: dict[str, str]


def pinned_version(constraints: Path) -> str:
    """The version of llama-cpp-python that the constraints name. Raises BuildError."""
    match = re.search(rf"^{PACKAGE}==(\S+)", constraints.read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{constraints} does not pin {PACKAGE}")
    return match[1]


def archive_name(version: str) -> str:
    """How the source distribution of a version is called."""
    return f"{PACKAGE.replace('-', '_')}-{version}.tar.gz"


def fetch(version: str, folder: Path) -> Path:
    """Download the source distribution into `folder`, unless it is there. Raises BuildError."""
    archive = folder / archive_name(version)
    if archive.exists():
        return archive
    # Without pip's isolation, the build tools that it asks for the name are our pinned ones.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += [f"--no-binary={PACKAGE}", f"--dest={folder}", f"{PACKAGE}=={version}"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise BuildError(f"pip could not download the source of {PACKAGE} {version}")
    return archive


def unpack(archive: Path, folder: Path, only: Collection[str] | None = None) -> tuple[Path, Patches]:
    """Unpack the source distribution into `folder` and patch it, with `only` some where that is given.
    Returns its root.
    """
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    root = folder / archive.name.removesuffix(".tar.gz")
    return root, apply_all(root / LLAMA_CPP, only)


def files_of_patches() -> list[Path]:
    """Patches and the code that they include, sorted."""
    return sorted(path for path in PATCHES.rglob("*") if path.suffix in (".patch", ".h", ".cpp"))


def apply_all(llama_cpp: Path, only: Collection[str] | None = None) -> Patches:
    """Apply every patch that fits to a source of llama.cpp, and write down in it which did. Those that are
    not among `only`, where that is given, are not tried.
    """
    shutil.copytree(PATCHES / _HEADERS.name, llama_cpp / _HEADERS, dirs_exist_ok=True)
    applied: list[str] = []
    left_out: dict[str, str] = {}
    for path in sorted(PATCHES.glob("*.patch")):
        if only is not None and path.stem not in only:
            continue
        try:
            apply(path.read_text(), llama_cpp)
        except PatchError as error:
            left_out[path.stem] = str(error)
        else:
            applied.append(path.stem)
    header = llama_cpp / _HEADERS / "patches.h"
    header.write_text(f'#define CARAVAN_PATCHES "{",".join(applied)}"\n')
    return Patches(tuple(applied), left_out)


def apply(patch: str, folder: Path) -> None:
    """Make all changes of a unified diff, or none. Raises PatchError."""
    changed = {}
    _, *parts = _FILE.split(patch)
    for name, hunks in zip(parts[::2], parts[1::2], strict=True):
        path = folder / name
        if not path.is_file():
            raise PatchError(f"there is no {name}")
        lines = path.read_text().splitlines(keepends=True)
        moved = 0
        _, *pieces = _HUNK.split(hunks)
        for start, piece in zip(pieces[::2], pieces[1::2], strict=True):
            hunk = piece.splitlines(keepends=True)
            before = [line[1:] for line in hunk if line[0] in " -"]
            after = [line[1:] for line in hunk if line[0] in " +"]
            place = _find(lines, before, int(start) - 1 + moved)
            if place is None:
                raise PatchError(f"{name} has changed at line {start}")
            lines[place : place + len(before)] = after
            moved += len(after) - len(before)
        changed[path] = "".join(lines)
    for path, text in changed.items():
        path.write_text(text)


def _find(lines: list[str], wanted: list[str], near: int) -> int | None:
    """Where these lines stand now, nearest to where the patch says, as other changes may have moved them."""
    places = (
        place
        for place in range(len(lines) - len(wanted) + 1)
        if lines[place] == wanted[0] and lines[place : place + len(wanted)] == wanted
    )
    return min(places, key=lambda place: abs(place - near), default=None)
