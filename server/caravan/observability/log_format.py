"""The server's log: lines for people, or an object of JSON each, written beside the work."""

import contextlib
import json
import logging
import queue
import sys
import threading
from typing import Any, TextIO

from caravan.observability import request_metrics
from caravan.runtime.plain_text import plain_line

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Lines that wait to be written. One that nobody reads costs what it says, and no more than so many do.
_MOST_WAITING = 10_000
_END_SECONDS = 1.0


def configure(level: str, form: str) -> None:
    """Set up the root logger of this process: `form` is "text" or "json".

    llama.cpp's lines and uvicorn's come the same way.
    """
    handler = LogWriter(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextFormatter(logging.Formatter):
    """A line, with the request's id where one is being served and the message does not name it.

    Messages may have a client's words in them, so what is no plain character is written as Python writes it,
    and the lines of a traceback are indented: none can look like an entry of its own.
    """

    def format(self, entry: logging.LogRecord) -> str:
        """The line (logging's protocol)."""
        line = super().format(entry)
        if trace := getattr(entry, "trace", ""):
            line = f"{line}\n{_indented(trace)}"
        request_id = request_metrics.current().request_id
        return line if not request_id or request_id in line else f"{line} [{request_id}]"

    def formatMessage(self, entry: logging.LogRecord) -> str:  # noqa: N802 (logging's protocol)
        """The entry without its traceback (logging's protocol)."""
        return plain_line(super().formatMessage(entry))

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 (logging's protocol)
        """The traceback (logging's protocol)."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 (logging's protocol)
        """The stack (logging's protocol)."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {plain_line(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """One object a line. What `extra` holds under `fields` joins it, and the traceback under `trace`."""

    def format(self, entry: logging.LogRecord) -> str:
        """The object (logging's protocol)."""
        document: dict[str, object] = {
            "time": self.formatTime(entry, "%Y-%m-%dT%H:%M:%S") + f".{entry.msecs:03.0f}",
            "level": entry.levelname.lower(),
            "logger": entry.name,
            "message": entry.getMessage(),
        }
        request_id = request_metrics.current().request_id
        if request_id:
            document["request_id"] = request_id
        document.update(getattr(entry, "fields", {}))
        trace = self.formatException(entry.exc_info) if entry.exc_info else getattr(entry, "trace", "")
        if trace:
            document["exception"] = trace
        return json.dumps(document, default=str)


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
