"""Writes log lines beside the work, so that nobody waits for whoever reads them."""

import contextlib
import logging
import queue
import threading
from typing import TextIO

# Lines that wait to be written. One that nobody reads costs what it says, and no more than so many do.
_MOST_WAITING = 10_000
_END_SECONDS = 1.0


class LogWriter(logging.Handler):
    """Hands each line to a thread that writes it to `stream`.

    A pipe that nobody reads would otherwise stop the event loop, and with it every client. Lines beyond
    those that may wait are dropped and counted; the count is written as soon as there is somebody to read it.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        # Its `put` may be called in the middle of another, as by a signal's handler.
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._num_lost = 0
        self._thread = threading.Thread(target=self._write, name="log writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take an entry (logging's protocol)."""
        if self._lines.qsize() >= _MOST_WAITING:
            self._num_lost += 1
            return
        try:
            self._lines.put(self.format(record))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, if that is a matter of a second (logging's protocol)."""
        self._lines.put(None)
        self._thread.join(_END_SECONDS)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._num_lost = self._num_lost, 0
            if lost:
                line += f"\n{lost} lines of the log were lost here: nobody read them in time"
            # A log that cannot be written is no reason to stop serving.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{line}\n")
                self._stream.flush()
