"""Signs of life from a long build: one line that moves on a terminal, a line now and then in a log."""

import dataclasses
import re
import time
from collections.abc import Callable
from typing import TextIO

_STEP = re.compile(r"\[\s*(\d+)/(\d+)\]")
_SOURCE = re.compile(r"\s-c\s+(\S+)")
_LOG_SECONDS = 10.0
_TERMINAL_SECONDS = 1.0
_WIDTH = 78


@dataclasses.dataclass(frozen=True)
class Step:
    """One of ninja's lines: how far it is and which file it compiles, if any."""

    done: int
    total: int
    source: str


def parse_step(line: str) -> Step | None:
    """Read `[n/m] command`, however far the line is indented."""
    match = _STEP.match(line.lstrip())
    if match is None:
        return None
    source = _SOURCE.search(line)
    name = "/".join(source[1].split("/")[-2:]) if source else ""
    return Step(int(match[1]), int(match[2]), name)


class Progress:
    """Shows the newest step with the time since the start. Call `feed` per line and `tick` at any time."""

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._shown: float | None = None
        self._text = "fetching and configuring the source"
        self._moves = stream.isatty()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def feed(self, line: str) -> None:
        """Take a line of the build's output."""
        step = parse_step(line)
        if step is not None:
            self._text = f"[{step.done}/{step.total}] {step.source}".rstrip()
        self.tick()

    def tick(self) -> None:
        """Show where things stand, unless that was done a moment ago."""
        pause = _TERMINAL_SECONDS if self._moves else _LOG_SECONDS
        now = self._clock()
        if self._shown is not None and now - self._shown < pause:
            return
        self._shown = now
        line = f"{self._title}  {format_seconds(self.elapsed)}  {self._text}"
        if self._moves:
            self._stream.write(f"\r{line[:_WIDTH]:<{_WIDTH}}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def finish(self, text: str) -> None:
        """Close with a line that stays."""
        start = "\r" if self._moves else ""
        line = f"{self._title}  {format_seconds(self.elapsed)}  {text}"
        self._stream.write(f"{start}{line:<{_WIDTH if self._moves else 0}}\n")
        self._stream.flush()


def format_seconds(seconds: float) -> str:
    """Minutes and seconds, `2:05`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
