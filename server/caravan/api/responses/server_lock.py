"""Which servers share a file, and which of them are alive: each holds the lock of a byte of its own."""

import fcntl
import os
from pathlib import Path

_MAX_SERVERS = 1024


class ServerLock:
    """A server's place among those that share a file; the kernel gives it up when the process ends.

    Locks are the process's, so that one process has one place. Without a file there is but one server.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.place = 0 if self._file is None else self._first_free()

    def is_alive(self, place: int) -> bool:
        """Whether the server of a place runs."""
        if place == self.place or self._file is None:
            return place == self.place
        if not self._lock(place):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
        return False

    def close(self) -> None:
        """Give the place up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _first_free(self) -> int:
        for place in range(_MAX_SERVERS):
            if self._lock(place):
                return place
        raise OSError(f"{_MAX_SERVERS} servers share this file already")

    def _lock(self, place: int) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True
