"""How the server's log looks: lines for people, or an object of JSON each."""

import json
import logging

from server import record

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure(level: str, form: str) -> None:
    """Set up the root logger of this process: `form` is "text" or "json".

    llama.cpp's lines and uvicorn's come the same way.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class TextFormatter(logging.Formatter):
    """A line, with the request's id where one is being served and the message does not name it."""

    def format(self, entry: logging.LogRecord) -> str:
        """The line (logging's protocol)."""
        line = super().format(entry)
        request_id = record.current().request_id
        return line if not request_id or request_id in line else f"{line} [{request_id}]"


class JsonFormatter(logging.Formatter):
    """One object a line; what `extra` holds under `fields` joins it."""

    def format(self, entry: logging.LogRecord) -> str:
        """The object (logging's protocol)."""
        document: dict[str, object] = {
            "time": self.formatTime(entry, "%Y-%m-%dT%H:%M:%S") + f".{entry.msecs:03.0f}",
            "level": entry.levelname.lower(),
            "logger": entry.name,
            "message": entry.getMessage(),
        }
        request_id = record.current().request_id
        if request_id:
            document["request_id"] = request_id
        document.update(getattr(entry, "fields", {}))
        if entry.exc_info:
            document["exception"] = self.formatException(entry.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)
