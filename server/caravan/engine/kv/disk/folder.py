"""The files of one model, in a folder of their own that nobody else can read, and the bound of all of them.

Any number of processes may share the folder above: a file appears whole and under its name, or not at all,
and one that another process has removed is simply not there. Nothing waits for the disk to have written: what
a power failure tears is noticed by its digest, and removed.
"""

import contextlib
import errno
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caravan.engine.kv.disk.chunk_file import BadFileError, Head, on_disk, read_head, write_head
from caravan.engine.kv.disk.chunks import NAME_BYTES, Chunk
from caravan.engine.kv.disk.place import OWNER_ALONE, check_own, tell_of_place

log = logging.getLogger(__name__)

Body = NDArray[np.uint8]

_ENDING = ".kv"
# Whatever else is under the folder of all models is not ours to remove.
_FOLDER = "[0-9a-f]" * 2 * NAME_BYTES
_UNFINISHED = ".part"
# What others have written since is looked at when so much of the bound was written here.
_LOOK_SHARE = 1 / 16
# Room is made for more than one file at a time.
_LEFT_SHARE = 15 / 16
# Chunks of one text are used at once; of these, those at its end go first.
_STEP_NANOSECONDS = 1000
# What opening or reading says of links, folders, and the ends of pipes and sockets.
_NO_FILE = frozenset((errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR))


class _File(NamedTuple):
    used: int
    size: int
    path: Path


class ChunkFolder:
    """Files of chunks, all of those under `base` bounded by `max_bytes` together. The least recently used go
    first. No method but `read` raises over a file: from one that fails until one is written, the disk
    `is_failing`, and from one that there is no room for beside what was used later, it `is_full`. `open`
    raises OSError over a folder that cannot be used. Nothing is written into one that is not its owner's.
    """

    def __init__(self, path: Path, base: Path, max_bytes: int) -> None:
        self._path = path
        self._base = base
        self._max_bytes = max_bytes
        self._num_unseen = 0
        self.is_failing = False
        self.is_full = False
        self._evicted: list[bytes] = []
        self.num_bytes = 0
        self.num_bad_files = 0

    @classmethod
    def open(cls, base: Path, root: bytes, max_bytes: int) -> "ChunkFolder":
        """Open the folder of chains that begin with `root`, or make it. Raises OSError."""
        base.mkdir(mode=OWNER_ALONE, parents=True, exist_ok=True)
        tell_of_place(base)
        path = base / root.hex()
        path.mkdir(mode=OWNER_ALONE, exist_ok=True)
        if check_own(path) != OWNER_ALONE:
            path.chmod(OWNER_ALONE)
        # Also those of models and builds that nobody opens any more.
        for left_behind in _files(base, _UNFINISHED):
            _remove_unfinished(left_behind)
        folder = cls(path, base, max_bytes)
        folder._look()
        return folder

    def heads(self) -> Iterator[Head]:
        """Read the heads of all files that are whole; what else is there is removed."""
        for path in sorted(self._path.iterdir()):
            if path.suffix == _UNFINISHED:
                continue
            try:
                with _opened(path) as file:
                    head = read_head(file.fileno())
                    if path.name != _file_name(head.chunk.name):
                        raise BadFileError("its name is not that of what it holds")
                    if os.fstat(file.fileno()).st_size != head.size:
                        raise BadFileError("it is not as long as it was")
            except FileNotFoundError:
                continue
            except BadFileError as error:
                self._discard(path, error)
            except OSError as error:
                if not self._is_foreign(path, error):
                    self._tell(error)
            else:
                yield head

    def read(self, name: bytes) -> Body | None:
        """Read the bytes of a chunk; None where they are gone, or not what they were.

        Raises OSError where that cannot be known now.
        """
        path = self._path / _file_name(name)
        try:
            with _opened(path) as file:
                head = read_head(file.fileno())
                if head.chunk.name != name:
                    raise BadFileError("its name is not that of what it holds")
                body = np.empty(head.body_size, np.uint8)
                view = body.data
                while view and (count := file.readinto(view)):
                    view = view[count:]
                head.check(body.data[: len(body) - len(view)])
                return body
        except FileNotFoundError:
            return None
        except BadFileError as error:
            self._discard(path, error)
        except OSError as error:
            if not self._is_foreign(path, error):
                self._tell(error)
                raise
        return None

    def write(self, chunk: Chunk, body: Body, used: int | None = None) -> bool:
        """Write a chunk, after making room for it among what was used before; whether it is there now.

        `used` is when it was, in nanoseconds of the system's clock; without, it is used now.
        """
        head = write_head(chunk, body.data)
        size = on_disk(len(head) + len(body))
        if size > self._max_bytes:
            return False
        path = self._path / f"{uuid.uuid4().hex}{_UNFINISHED}"
        stamp = self._stamp_of(chunk, used)
        try:
            if not self._make_room(size, stamp):
                self.is_full = True
                return False
            # Whoever empties the folder of all models while this runs wants no more than that.
            self._path.mkdir(mode=OWNER_ALONE, exist_ok=True)
            check_own(self._path)
            try:
                with _unfinished(path) as file:
                    _write(file, memoryview(head), body.data)
                    _stamp(path, stamp)
                    path.rename(self._path / _file_name(chunk.name))
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._tell(error)
            return False
        self.num_bytes += size
        self._num_unseen += size
        self.is_failing = self.is_full = False
        return True

    def touch(self, names: Iterable[bytes], used: int | None = None) -> None:
        """Note that the chunks of a text, in their order, are used now, or were then at the earliest."""
        now = time.time_ns()
        used = now if used is None else used
        for index, name in enumerate(names):
            path, stamp = self._path / _file_name(name), used - index * _STEP_NANOSECONDS
            with contextlib.suppress(OSError):
                if not stamp <= path.lstat().st_mtime_ns <= now:
                    _stamp(path, stamp)

    def remove(self, names: Iterable[bytes]) -> None:
        """Remove chunks, as far as they are there."""
        for name in names:
            self._remove(self._path / _file_name(name))

    def take_evicted(self) -> list[bytes]:
        """Name the chunks that made room for others since the last time."""
        evicted, self._evicted = self._evicted, []
        return evicted

    def _stamp_of(self, chunk: Chunk, used: int | None) -> int:
        """Tell when a chunk was used, which goes before the one that it follows on, where that is here."""
        stamp = time.time_ns() if used is None else used
        with contextlib.suppress(OSError):
            before = (self._path / _file_name(chunk.parent)).lstat().st_mtime_ns
            stamp = min(stamp, before - _STEP_NANOSECONDS)
        return stamp

    def _make_room(self, size: int, stamp: int) -> bool:
        """Remove what was used least recently, of whatever model, until so many bytes are free; False where
        what was used later than `stamp` leaves no room.
        """
        if self._num_unseen < _LOOK_SHARE * self._max_bytes and self.num_bytes + size <= self._max_bytes:
            return True
        files = self._look()
        if self.num_bytes + size <= self._max_bytes:
            return True
        older = sorted(file for file in files if file.used < stamp)
        if self.num_bytes + size - sum(file.size for file in older) > self._max_bytes:
            return False
        for file in older:
            if self.num_bytes + size <= _LEFT_SHARE * self._max_bytes:
                break
            self._remove(file.path)
            if file.path.parent == self._path:
                with contextlib.suppress(ValueError):  # somebody's own file
                    self._evicted.append(bytes.fromhex(file.path.stem))
        return self.num_bytes + size <= self._max_bytes

    def _look(self) -> list[_File]:
        """Find all files, and count their bytes anew."""
        files, now = [], time.time_ns()
        for path in _files(self._base, _ENDING):
            with contextlib.suppress(OSError):
                found = path.lstat()
                # What was used by a clock that was wrong stays no longer for that.
                used = found.st_mtime_ns if found.st_mtime_ns <= now else 0
                files.append(_File(used, on_disk(found.st_size), path))
        self.num_bytes = sum(file.size for file in files)
        self._num_unseen = 0
        return files

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            size = on_disk(path.lstat().st_size)
            path.unlink()
            self.num_bytes -= size if path.suffix == _ENDING else 0

    def _discard(self, path: Path, error: BadFileError) -> None:
        log.warning("%s is removed: %s", path, error)
        self.num_bad_files += 1
        self._remove(path)

    def _is_foreign(self, path: Path, error: OSError) -> bool:
        """Tell whether an error says that what has a file's name is no file, which is removed then."""
        if error.errno not in _NO_FILE:
            return False
        self._discard(path, BadFileError("it is no file of ours"))
        return True

    def _tell(self, error: OSError) -> None:
        """Log that the disk does not do what it should, once until it does again."""
        log.log(logging.DEBUG if self.is_failing else logging.WARNING, "prefixes on the disk: %s", error)
        self.is_failing = True


def _stamp(path: Path, used: int) -> None:
    with contextlib.suppress(OSError):
        os.utime(path, ns=(used, used))


def _files(base: Path, ending: str) -> Iterator[Path]:
    """Find the files of all models; a link in the place of a folder leads to what is not ours."""
    for folder in base.glob(_FOLDER):
        if not folder.is_symlink():
            yield from folder.glob(f"*{ending}")


def _opened(path: Path) -> FileIO:
    """Open a file of this very name for reading, whatever is there: nothing waits for a pipe's other end."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK
    return FileIO(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))


def _unfinished(path: Path) -> FileIO:
    """Make a file that only its owner can read, locked for as long as this process lives."""
    file = FileIO(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
    # Where there are no locks, what is left behind stays.
    with contextlib.suppress(OSError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    return file


def _write(file: FileIO, *parts: memoryview) -> None:
    for part in parts:
        left = part
        while left:
            left = left[file.write(left) :]


def _remove_unfinished(path: Path) -> None:
    """Remove what a process has left behind that ended while it wrote; not what one is just writing."""
    with contextlib.suppress(OSError), _opened(path) as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()


def _file_name(name: bytes) -> str:
    return name.hex() + _ENDING
