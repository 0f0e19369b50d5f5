"""The keys of a running server, as its file has them at the moment."""

import hmac
import logging
from pathlib import Path

from server.auth import keys
from server.auth.keys import Key, KeyFileError
from server.settings import Settings

log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class KeyRing:
    """Looks at the file before each use and reads it again when it has changed.

    `extra` are keys that are not in the file. Raises KeyFileError if the file cannot be read at first; later,
    a file that makes no sense changes nothing, and the log says so.
    """

    def __init__(self, path: Path | None, extra: tuple[Key, ...] = ()) -> None:
        self._path = path
        self._extra = extra
        self._stamp = self._look()
        self._keys = self._read()

    def current(self) -> tuple[Key, ...]:
        """All keys; where there are none, everybody may come in."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._keys = self._read()
            except KeyFileError as error:
                log.error("keys stay as they were: %s", error)
        return self._keys

    def find(self, token: str) -> Key | None:
        """The key that a client showed. Takes equally long wherever the difference is, and looks at all."""
        shown = keys.digest(token)
        found = None
        for key in self.current():
            if hmac.compare_digest(key.hash, shown):
                found = key
        return found

    def _look(self) -> _Stamp | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[Key, ...]:
        return self._extra + (() if self._path is None else keys.read(self._path))


def open_ring(settings: Settings) -> KeyRing:
    """The keys that the settings name. Raises KeyFileError."""
    extra = () if settings.api_key is None else (keys.operator_key(settings.api_key.get_secret_value()),)
    return KeyRing(settings.keys_path, extra)
