"""The files of a model as they were when it was loaded, and what has become of them since.

llama.cpp maps the weights: a file that is written to changes under a running engine, and one that is cut off
ends it with SIGBUS. One that is replaced or deleted by name lives on until it is let go. The engine looks at
the very files that it has mapped (`weights_watch`).
"""

import hashlib
import os
from pathlib import Path
from typing import Literal, NamedTuple

from caravan.llama.gguf_header import part_paths

_HEAD = 1 << 20
_NUM_SAMPLES = 64
_SAMPLE = 4096


# Modified: the very file that is in use has other content. Replaced: another file has its name.
FileChange = Literal["modified", "replaced", "deleted"]


class Stamp(NamedTuple):
    """What the system says of a file, without reading it."""

    device: int
    inode: int
    size: int
    modified: int

    @property
    def place(self) -> tuple[int, int]:
        return self.device, self.inode


class ModelFile:
    """All parts of a model. Made at the moment from which on nothing may change; `read` is to follow.

    Its methods read the files, which takes a moment.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._paths = part_paths(Path(path))
        self._stamps = self._look()
        self._digest = b""

    def read(self) -> None:
        """Note what is in the files, as far as it has to be known later. Raises OSError."""
        self._digest = self._sampled()

    def change(self) -> FileChange | None:
        """What has happened to the files; nothing, where they have the same content as before.

        Raises OSError where that cannot be found out.
        """
        now, before = self._look(), self._stamps
        if now == before:
            return None
        if None in now:
            return "deleted"
        if self._sampled() == self._digest:
            self._stamps = now
            return None
        pairs = zip(now, before, strict=True)
        is_same = any(new and old and new.place == old.place and new != old for new, old in pairs)
        return "modified" if is_same else "replaced"

    def _look(self) -> tuple[Stamp | None, ...]:
        return tuple(map(stamp, self._paths))

    def _sampled(self) -> bytes:
        digest = hashlib.sha256()
        for path in self._paths:
            add_file(digest, path)
        return digest.digest()


def add_file(digest: "hashlib._Hash", path: Path) -> None:
    """Add what `add_open_file` does, of the file that has this name now. Raises OSError."""
    with path.open("rb") as file:
        add_open_file(digest, file.fileno())


def add_open_file(digest: "hashlib._Hash", descriptor: int) -> None:
    """Add size, beginning and a sample of the rest, since to read all of the weights takes as long as to load
    them. Of two trainings of one network no page of weights is alike. Raises OSError.
    """
    size = os.fstat(descriptor).st_size
    digest.update(f"{size},".encode())
    digest.update(os.pread(descriptor, _HEAD, 0))
    for number in range(_NUM_SAMPLES):
        place = max(0, size - _SAMPLE) * (number + 1) // _NUM_SAMPLES
        digest.update(os.pread(descriptor, _SAMPLE, place))


def stamp(path: Path) -> Stamp | None:
    """How a file stands; None where there is none. Raises OSError."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
