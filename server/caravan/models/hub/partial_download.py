"""A file on its way here: hashed as it grows, kept when interrupted, and named only once it is right."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType

_CHUNK = 1 << 20


class PartError(Exception):
    """The file cannot be finished; the message is one line."""


class Part:
    """What huggingface_hub's `http_get` writes to. `advance` is told of bytes gained, and of bytes lost.

    The name has the checksum in it, so that parts of two versions of a file never mix.
    """

    def __init__(self, target: Path, size: int, sha256: str | None, advance: Callable[[int], None]) -> None:
        self._target = target
        self._sha256 = sha256
        self._advance = advance
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path = part_path(target, sha256)
        self._file: FileIO = self.path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise PartError(f"{target.name} is being pulled by another process") from error
        self._hash = hashlib.sha256()
        if os.fstat(self._file.fileno()).st_size > size:
            self._file.truncate(0)
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            advance(len(chunk))

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, chunk: bytes) -> int:
        """Append. Raises PartError where the disk is full."""
        try:
            remaining = memoryview(chunk)
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise PartError(f"the disk of {self.path.parent} is full; what has come is kept") from error
            raise
        self._hash.update(chunk)
        self._advance(len(chunk))
        return len(chunk)

    def tell(self) -> int:
        """Bytes here."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Only to the beginning: to start over."""
        return self._file.seek(position)

    def truncate(self) -> int:
        """Forget what has come."""
        self._advance(-os.fstat(self._file.fileno()).st_size)
        self._hash = hashlib.sha256()
        return self._file.truncate()

    def finish(self) -> None:
        """Check, and give the file its name. Raises PartError, and then the part is gone."""
        if self._sha256 is not None and self._hash.hexdigest() != self._sha256:
            self.path.unlink()
            raise PartError(
                f"{self._target.name} did not arrive as the hub has it: its checksum is wrong. "
                "It was removed; pull it again."
            )
        os.fsync(self._file.fileno())
        os.replace(self.path, self._target)


def part_path(target: Path, sha256: str | None) -> Path:
    """Where a file is kept while it is incomplete."""
    return target.with_name(f"{target.name}.{(sha256 or 'unknown')[:12]}.part")
