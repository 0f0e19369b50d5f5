"""A file system that fails when it is told to: Linux's FUSE protocol, as far as one file needs it."""

import contextlib
import ctypes
import enum
import errno
import os
import stat
import struct
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

_NAME = "model.gguf"
_HEADER = struct.Struct("<IIQQIIIHH")
_ANSWER = struct.Struct("<IiQ")


class _Code(enum.IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    RELEASE = 18
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    RELEASEDIR = 29
    INTERRUPT = 36
    BATCH_FORGET = 42


_WITHOUT_ANSWER = (_Code.FORGET, _Code.INTERRUPT, _Code.BATCH_FORGET)
_FORGET_PAGES = 2
_ROOT, _FILE = 1, 2
_LARGEST_MESSAGE = 1 << 20
_DETACH = 2


class FailingDisk:
    """Serves `content` as `path`, from a thread. What has failed fails until it is healed."""

    def __init__(self, place: Path, content: bytes) -> None:
        self.path = place / _NAME
        self._place = place
        self._content = content
        self._is_broken = False
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self._libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self._device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        if self._libc.mount(b"caravan-test", os.fsencode(place), b"fuse", 6, options.encode()):
            os.close(self._device)
            raise OSError(ctypes.get_errno(), "no file system can be mounted")
        self._thread = threading.Thread(target=self._serve, name="failing disk", daemon=True)
        self._thread.start()

    def fail(self) -> None:
        """Answer every read with an error from now on, and have Linux forget what it has read."""
        self._is_broken = True
        told = struct.pack("<Qqq", _FILE, 0, -1)
        os.write(self._device, _ANSWER.pack(_ANSWER.size + len(told), _FORGET_PAGES, 0) + told)

    def heal(self) -> None:
        """Answer as before."""
        self._is_broken = False

    def close(self) -> None:
        """Take it away, whoever has a file open."""
        self._libc.umount2(os.fsencode(self._place), _DETACH)
        self._thread.join(10)
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                message = os.read(self._device, _LARGEST_MESSAGE)
            except OSError as error:
                if error.errno == errno.ENODEV:  # it is no longer mounted
                    return
                continue
            _, code, unique, node, *_ = _HEADER.unpack_from(message)
            if code in _WITHOUT_ANSWER:
                continue
            answer = self._answer(code, node, message[_HEADER.size :])
            number, body = (answer, b"") if isinstance(answer, int) else (0, answer)
            with contextlib.suppress(OSError):  # whoever asked may be gone
                os.write(self._device, _ANSWER.pack(_ANSWER.size + len(body), -number, unique) + body)

    def _answer(self, code: int, node: int, body: bytes) -> bytes | int:
        """What is told, or the number of an error."""
        match code:
            case _Code.INIT:
                return struct.pack(
                    "<IIIIHHIIHHIIQQQ", 7, 31, 1 << 17, 0, 12, 9, 1 << 17, 1, 0, 0, 0, 0, 0, 0, 0
                )
            case _Code.LOOKUP:
                if body.rstrip(b"\0").decode() != _NAME:
                    return errno.ENOENT
                return struct.pack("<QQQQII", _FILE, 0, 1, 1, 0, 0) + self._attributes(_FILE)
            case _Code.GETATTR:
                return struct.pack("<QII", 1, 0, 0) + self._attributes(node)
            case _Code.OPEN | _Code.OPENDIR:
                keeps_pages = 2
                return struct.pack("<QII", 0, keeps_pages, 0)
            case _Code.READ:
                return self._read(body)
            case _Code.RELEASE | _Code.FLUSH | _Code.RELEASEDIR:
                return b""
        return errno.ENOSYS

    def _read(self, body: bytes) -> bytes | int:
        _, start, size = struct.unpack_from("<QQI", body)
        return errno.EIO if self._is_broken else self._content[start : start + size]

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o755 if node == _ROOT else stat.S_IFREG | 0o644
        size, links = len(self._content), 2 if node == _ROOT else 1
        times = (1_700_000_000,) * 3
        numbers = (node, size, (size + 511) // 512, *times, 0, 0, 0)
        return struct.pack("<QQQQQQIIIIIIIIII", *numbers, mode, links, os.getuid(), os.getgid(), 0, 4096, 0)


@contextlib.contextmanager
def failing_disk(place: Path, content: bytes) -> Generator[FailingDisk, None, None]:
    """A disk for a `with` block; skips the test where none can be mounted."""
    place.mkdir()
    try:
        disk = FailingDisk(place, content)
    except OSError as error:
        pytest.skip(f"needs FUSE and the right to mount: {error}")
    try:
        yield disk
    finally:
        disk.close()
