"""Disk space that is kept so that something can be deleted when there is no other left."""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

# To delete from a file in WAL mode, SQLite first writes down what changes. So much is enough for the largest
# single thing that is kept.
_NUM_BYTES = 16 * 1024 * 1024


class Reserve:
    """A file of nothing, beside the one that it is for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take the space, unless that is done. Where there is none, the log says so."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("no space is kept for deletions: %s", error)
            return
        try:
            if os.fstat(descriptor).st_size < _NUM_BYTES:
                os.posix_fallocate(descriptor, 0, _NUM_BYTES)
        except OSError as error:
            # A part of it would look like all of it.
            os.ftruncate(descriptor, 0)
            log.warning("no space is kept for deletions: %s", error.strerror)
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Give the space back to the disk."""
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
