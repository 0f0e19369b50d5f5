"""Child processes: how they are started and read from, and what they do before all else.

Started as `python -m caravan.runtime.children MODULE FD PARENT`, it becomes `python -m MODULE FD` once it is
bound to its parent. Each has one end of a socket pair, which closes when the parent ends, and lets it end;
one that is stopped sees nothing of that, and Linux kills it with its parent.
"""

import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping

from caravan.runtime import signals

_PR_SET_PDEATHSIG = 1


def start(
    module: str, connection: socket.socket, *, env: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Run `module` with `connection`, which is the parent's to close. Any thread may ask. Raises OSError."""
    if threading.current_thread() is threading.main_thread():
        return _started(module, connection, env)
    # The system binds a child to the thread that started it, and most threads end before the process does.
    from caravan.runtime.threads import in_lasting_thread

    return in_lasting_thread(_started, module, connection, env)


def _started(
    module: str, connection: socket.socket, env: Mapping[str, str] | None
) -> "subprocess.Popen[bytes]":
    # Held back until the child ignores them: a Ctrl-C while it imports is not for it, either.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, signals.OF_THE_GROUP)
    try:
        return subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-m", __name__, module, str(connection.fileno()), str(os.getpid())],
            pass_fds=[connection.fileno()],
            stdin=subprocess.DEVNULL,
            env=env,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def read_exactly(connection: socket.socket, size: int) -> bytearray | None:
    """Wait for so many bytes, however they come; None when the other side is gone. Raises OSError."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if count == 0:
            return None
        done += count
    return data


def bind_to_parent(parent: int) -> None:
    """Have the system end this process with its parent, whose number is `parent`; where that has ended, end.

    For the thread that started this process, strictly: it has to live as long as the parent.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(0)


def main() -> None:
    """Become the module that was asked for."""
    module, connection, parent = sys.argv[1:]
    bind_to_parent(int(parent))
    signals.ignore_all()
    sys.argv[1:] = [connection]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
