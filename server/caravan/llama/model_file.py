"""The files of a model as they were when it was loaded, and what has become of them since.

llama.cpp maps the weights: a file that is written to changes under a running engine, and one that is cut off
ends it with SIGBUS. One that is replaced or deleted by name lives on until it is let go. The server looks at
what has the file's name (`ModelFile`), the engine behind every step at the very file that it has mapped
(`WeightsWatch`): Linux notes that a file is written to before it changes a byte of it.
"""

import contextlib
import enum
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from caravan.llama.gguf_header import part_paths

_HEAD = 1 << 20
_NUM_SAMPLES = 64
_SAMPLE = 4096
CHANGED = "the model's file was changed while it was in use"
# A file that is written to is looked into when nothing was written for so long; one that is written to for
# longer than the second is another.
_CALM_SECONDS = 0.25
_LONGEST_SECONDS = 2.0
_PAUSE = 0.02

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
        """Tell what has happened to the files; nothing, where they have the same content as before.

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
    """Ask how a file stands; None where there is none. Raises OSError."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


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
    """Look at weights that are in no file."""
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
