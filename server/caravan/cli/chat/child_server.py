"""Runs `caravan` with the given words until it ends or its standard input does.

Whoever started it holds the other end of a pipe; that closes with them, however they end. Where they are
killed, the system ends this with them, be it stopped.
"""

import os
import signal
import sys
import threading

from caravan.cli import main
from caravan.runtime.children import bind_to_parent


def _watch() -> None:
    # Not `sys.stdin`, whose lock Python would wait for at its end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    bind_to_parent(os.getppid())
    threading.Thread(target=_watch, name="tether", daemon=True).start()
    main(sys.argv[1:])
