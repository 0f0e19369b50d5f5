"""The keys of a running server, read again whenever their file changes."""

import hmac
import logging
import os
import time
from pathlib import Path

from caravan.auth import keys_file
from caravan.auth.keys_file import Key, KeyFileError
from caravan.config.option_types import Anonymous
from caravan.config.settings import Settings

log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]
# Until a file that could not be read is tried again: what kept it from being read may be gone.
_RETRY_SECONDS = 1.0


class KeyStore:
    """Looks at the file before each use and reads it again when it has changed.

    `extra` are keys that are not in the file, and `anonymous` says when none is needed. Where that is "before
    keys", the first sign of a file of keys ends it for as long as the server lives: neither revoking the last
    key nor deleting the file opens it again.

    Raises KeyFileError if the file cannot be read at first; later, a file that makes no sense changes
    nothing, and the log says so.
    """

    def __init__(
        self, path: Path | None, extra: tuple[Key, ...] = (), *, anonymous: Anonymous = "never"
    ) -> None:
        self._path = path
        self._extra = extra
        self._anonymous = anonymous
        self._has_had_keys = bool(extra)
        self._signs = () if path is None else keys_file.signs(path)
        self._keys = extra
        self._complaint = ""
        self._retry_at: float | None = None
        self._stamps = self._look()
        self._take()

    def is_open(self) -> bool:
        """Say whether everybody may come in without a key."""
        if self._anonymous == "before keys":
            self.current()
            return not self._has_had_keys
        return self._anonymous == "always"

    def current(self) -> tuple[Key, ...]:
        """Return all keys. Where there are none, that alone lets nobody in: see `is_open`."""
        stamps = self._look()
        is_due = self._retry_at is not None and time.monotonic() >= self._retry_at
        if stamps != self._stamps or is_due:
            self._stamps = stamps
            self._take_if_sound()
        return self._keys

    def find(self, token: str) -> Key | None:
        """Find the key that a client sent, in constant time: all keys are compared."""
        shown = keys_file.digest(token)
        found = None
        for key in self.current():
            if hmac.compare_digest(key.hash, shown):
                found = key
        return found

    def _look(self) -> list[_Stamp]:
        """Look at the file, and at its lock, which stays where that has come and gone between two looks."""
        return [_stamp(path) for path in self._signs]

    def _take_if_sound(self) -> None:
        try:
            self._take()
        except KeyFileError as error:
            self._has_had_keys = True
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            if str(error) != self._complaint:
                log.error("keys stay as they were: %s", error)
            self._complaint = str(error)
        else:
            self._retry_at, self._complaint = None, ""

    def _take(self) -> None:
        if self._path is None:
            return
        found = self._extra + keys_file.read(self._path)
        self._has_had_keys = self._has_had_keys or keys_file.have_been(self._path)
        if self._keys and not found and self._anonymous != "always":
            log.warning("no key is left in %s: nobody may come in until one is made", self._path)
        self._keys = found


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno or 0, os.path.islink(path), 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def open_key_store(settings: Settings) -> KeyStore:
    """Open the keys that the settings name; none are where nobody is asked for one. Raises KeyFileError."""
    if not settings.auth:
        return KeyStore(None, anonymous="always")
    extra = () if settings.api_key is None else (keys_file.operator_key(settings.api_key.get_secret_value()),)
    return KeyStore(settings.keys_path, extra, anonymous=settings.anonymous)
