"""Files in memory that hold embeddings: a folder of the server's own for each encoder, gone with it.

A server that was killed leaves its folder behind. The lock on it went with the server, so the next one sees
that nobody has it, and removes it.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path

_PREFIX = "caravan-media-"
_LOCK = "lock"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # nosec B108 (the folder below it is ours alone)


class MemoryFolder:
    """A new folder that only this user can enter, where there is room for `num_bytes`. Raises OSError."""

    def __init__(self, num_bytes: int, root: Path | None = None) -> None:
        root = root or _roomy(num_bytes)
        remove_abandoned(root)
        self.path, self._lock = _locked(root)
        self._is_open = True

    def new_path(self) -> str:
        """A name that no file has."""
        return os.fspath(self.path / secrets.token_hex(8))

    def close(self) -> None:
        """Remove it with all that is in it; a second call does nothing. What is mapped stays readable."""
        if self._is_open:
            self._is_open = False
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)


def _locked(root: Path) -> tuple[Path, int]:
    """A new folder, and the lock on it: before that, another server may take it for an abandoned one."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        lock = -1
        try:
            lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return path, lock
        except (BlockingIOError, FileNotFoundError):
            pass
        if lock >= 0:
            os.close(lock)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def remove_abandoned(root: Path) -> None:
    """Remove the folders of servers that are gone; those of others who run are left alone."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            # One that has no lock yet is just being made.
            file = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(file)


def _roomy(num_bytes: int) -> Path:
    """Linux's memory as a folder, where it is large enough: in containers it often has 64 MiB."""
    with contextlib.suppress(OSError):
        room = os.statvfs(_SHARED_MEMORY)
        if os.access(_SHARED_MEMORY, os.W_OK) and room.f_bavail * room.f_frsize >= num_bytes:
            return _SHARED_MEMORY
    return Path(tempfile.gettempdir())
