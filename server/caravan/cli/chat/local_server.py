"""A server for one conversation: started, asked where it listens, ended."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from caravan.cli.errors import CommandError

_MARK = "base URL: "


@contextlib.contextmanager
def own_server(options: list[str], key: str) -> Iterator[str]:
    """Serve with these options of `caravan serve` whoever has this key; the value is the address.

    It ends with this process, even if that is killed. Raises CommandError.
    """
    serve = ["serve", "--auth", "--host", "127.0.0.1", "--port", "0", *options]
    command = [sys.executable, "-m", "caravan.cli.chat.child_server", *serve]
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
