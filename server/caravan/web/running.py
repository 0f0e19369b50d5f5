"""Where the servers of a data folder listen: each registers itself there, for health checks.

A flag, a variable, a file: what a server was started with, others do not know.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_FOLDER = "running"


@contextlib.contextmanager
def registered_server(data_dir: Path, address: str) -> Iterator[None]:
    """Register, for as long as the block lasts, that this process listens at `address`.

    A lock tells that the process lives; the kernel gives it up however that ends. A folder that cannot be
    written costs no more than this.
    """
    path = data_dir / _FOLDER / f"{_machine()}-{os.getpid()}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        log.debug("the address is not written down: %s", error)
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            json.dump({"address": address}, file)
            file.flush()
        except OSError as error:
            log.debug("the address is not written down: %s", error)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink()


def server_addresses(data_dir: Path) -> list[str]:
    """List where the servers of this data folder listen that live on this machine, or in this container."""
    found = []
    for path in sorted((data_dir / _FOLDER).glob(f"{_machine()}-*.json")):
        with (
            contextlib.suppress(OSError, ValueError, KeyError, TypeError),
            path.open(encoding="utf-8") as file,
        ):
            if _is_locked(file.fileno()):
                found.append(str(json.load(file)["address"]))
            else:
                path.unlink()
    return found


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _machine() -> str:
    """Containers that share a folder have names of their own, and the same numbers of processes."""
    return re.sub(r"[^\w.-]", "_", socket.gethostname()) or "machine"
