"""Starts the engine's process, if wanted before there is anything to tell it: it imports for a while first.

Imports little, so that nothing has to be waited for.
"""

import contextlib
import os
import socket
import subprocess
from dataclasses import dataclass

from caravan.runtime import children

MODULE = "caravan.engine.worker"

# llama.cpp's threads meet at barriers some hundred times a step. By default GNU OpenMP spins there for
# milliseconds, and any other process on the machine then slows a step down twentyfold. A thirtieth of the
# default's count is as fast on a quiet machine and loses little on a busy one.
# And a debugger that looks at llama.cpp's end (its default, where there is one) makes everybody wait for it.
_VARIABLES = {"GOMP_SPINCOUNT": "10000", "GGML_NO_BACKTRACE": "1"}


@dataclass(frozen=True)
class SpawnedProcess:
    """A process that waits for its first message, and our end of the connection, with which it ends."""

    process: subprocess.Popen[bytes]
    connection: socket.socket


_ahead: list[SpawnedProcess] = []


def launch(module: str = MODULE) -> SpawnedProcess:
    """Start a process. Raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = children.start(module, theirs, env=_VARIABLES | os.environ)
        except BaseException:
            ours.close()
            raise
    return SpawnedProcess(process, ours)


def launch_ahead() -> None:
    """Start the process of the engine that will be wanted first, if that is possible yet."""
    # If it is not, `take` tries again, and its failure is told.
    with contextlib.suppress(OSError):
        _ahead.append(launch())


def take(module: str = MODULE) -> SpawnedProcess:
    """Take the process started ahead, if it lives and is of this module; else a new one. Raises OSError."""
    while module == MODULE and _ahead:
        launched = _ahead.pop()
        if launched.process.poll() is None:
            return launched
        launched.connection.close()
    return launch(module)
