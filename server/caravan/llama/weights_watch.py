"""Whether the weights that a step was computed with are those that were loaded.

llama.cpp maps the files. Linux notes that a file is written to before it changes a byte of it, so whoever
looks behind a step knows whether anything can have changed in it.
"""

import contextlib
import enum
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from caravan.llama.gguf_header import part_paths
from caravan.llama.model_file import add_open_file

CHANGED = "the model's file was changed while it was in use"
# A file that is written to is looked into when nothing was written for so long; one that is written to for
# longer than the second is another.
_CALM_SECONDS = 0.25
_LONGEST_SECONDS = 2.0
_PAUSE = 0.02

# Size, and the times of the last change of content and of anything, in nanoseconds.
_Stamp = tuple[int, int, int]


class Weights(enum.Enum):
    """What has become of the weights since the last look.

    SUSPECT: they are what they were, but may not have been in between; what was computed does not count.
    """

    SOUND = "sound"
    SUSPECT = "suspect"


LookAtWeights = Callable[[], Weights]


class WeightsChangedError(Exception):
    """The weights in memory are not those that were loaded; nothing more can be computed with them."""

    def __init__(self) -> None:
        super().__init__(CHANGED)


def always_sound() -> Weights:
    """A look at weights that are in no file."""
    return Weights.SOUND


class WeightsWatch:
    """Holds all parts of a model open, from before they are loaded on. One thread only.

    A file that is not there is not watched: whoever loads it tells that better. Raises OSError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._exit = contextlib.ExitStack()
        self._descriptors: list[int] = []
        for part in part_paths(Path(path)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                file = self._exit.enter_context(part.open("rb", buffering=0))
                self._descriptors.append(file.fileno())
        self._stamps = self._stand()
        self._digest = self._sampled()

    def look(self) -> Weights:
        """Tell whether what was computed since the last look counts: some microseconds, unless a file was
        touched; then it waits, 2 seconds at most, until nobody writes to it. Raises WeightsChangedError.
        """
        if self._stand() == self._stamps:
            return Weights.SOUND
        try:
            self._check()
        except OSError as error:
            raise WeightsChangedError from error
        return Weights.SUSPECT

    def close(self) -> None:
        """Let the files go."""
        self._descriptors.clear()
        self._exit.close()

    def _check(self) -> None:
        """Take over how the files stand, where their content is what it was. Raises WeightsChangedError."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < deadline:
            seen = self._stand()
            if _contents(seen) != _contents(self._stamps) and not self._stays(seen):
                continue
            if self._sampled() != self._digest:
                break
            if self._stand() == seen:
                self._stamps = seen
                return
        raise WeightsChangedError

    def _stays(self, seen: tuple[_Stamp, ...]) -> bool:
        """Wait for a while; whether nothing has changed in it."""
        end = time.monotonic() + _CALM_SECONDS
        while time.monotonic() < end:
            if self._stand() != seen:
                return False
            time.sleep(_PAUSE)
        return True

    def _stand(self) -> tuple[_Stamp, ...]:
        found = map(os.fstat, self._descriptors)
        return tuple((status.st_size, status.st_mtime_ns, status.st_ctime_ns) for status in found)

    def _sampled(self) -> bytes:
        digest = hashlib.sha256()
        for descriptor in self._descriptors:
            add_open_file(digest, descriptor)
        return digest.digest()


def _contents(stamps: tuple[_Stamp, ...]) -> list[tuple[int, int]]:
    """What a write changes; a new name or owner changes the last part alone."""
    return [(size, modified) for size, modified, _ in stamps]
