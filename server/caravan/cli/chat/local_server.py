"""A server for one conversation: started, asked where it listens, ended.

As a program, this module is that server. It ends when its standard input does, whose other end the
conversation holds: however that ends, so does the server.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from caravan.cli.errors import CommandError
from caravan.runtime.children import bind_to_parent

_MARK = "base URL: "


@contextlib.contextmanager
def own_server(options: list[str], key: str) -> Iterator[str]:
    """Serve with these options of `caravan serve` whoever has this key; the value is the address.

    It ends with this process, even if that is killed. Raises CommandError.
    """
    serve = ["serve", "--auth", "--host", "127.0.0.1", "--port", "0", *options]
    command = [sys.executable, "-m", "caravan.cli.chat.local_server", *serve]
    # A session of its own, so that Ctrl-C stops an answer and not the server.
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(  # noqa: S603 (our own command, by its arguments)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
            env=os.environ | {"CARAVAN_API_KEY": key},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if _MARK in line:
                    yield line.partition(_MARK)[2].strip()
                    return
            process.wait()
            complaints.seek(0)
            lines = [line.removeprefix("caravan: ").strip() for line in complaints]
            raise CommandError("\n".join(lines[-3:]) or "the server ended early")
        finally:
            process.terminate()


def _watch_input() -> None:
    # Not `sys.stdin`, whose lock Python would wait for at its end.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from caravan.cli import main

    bind_to_parent(os.getppid())
    threading.Thread(target=_watch_input, name="tether", daemon=True).start()
    main(sys.argv[1:])
