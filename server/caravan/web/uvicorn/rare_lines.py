"""Lines of the log that strangers can cause at will, and of which one says as much as thousands."""

import logging
import time
from collections.abc import Callable

_SECONDS = 60.0
# uvicorn's own words.
INVALID = "Invalid HTTP request received."
UPGRADE = "A client asked to speak another protocol (Upgrade) than HTTP/1.1; it was answered in that."


class RareLines(logging.Filter):
    """Lets each of these lines through once a minute, and all others always."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._next = dict.fromkeys((INVALID, UPGRADE), float("-inf"))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written (logging's protocol)."""
        due = self._next.get(record.msg) if isinstance(record.msg, str) else None
        if due is None:
            return True
        now = self._clock()
        if now < due:
            return False
        self._next[record.msg] = now + _SECONDS
        return True


def make_rare(logger: logging.Logger) -> None:
    """Have a logger keep to that, once."""
    if not any(isinstance(known, RareLines) for known in logger.filters):
        logger.addFilter(RareLines())
