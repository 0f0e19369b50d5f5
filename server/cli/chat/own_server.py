"""A server for one conversation: started, asked where it listens, ended."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from server.cli.errors import CommandError

_MARK = "base URL: "


@contextlib.contextmanager
def own_server(options: list[str]) -> Iterator[str]:
    """Serve with these options of `caravan serve`; the value is the address. Raises CommandError."""
    command = [sys.executable, "-m", "server", "serve", "--host", "127.0.0.1", "--port", "0", *options]
    # A session of its own, so that Ctrl-C stops an answer and not the server.
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(  # noqa: S603 (our own command, by its arguments)
            command, stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True
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
