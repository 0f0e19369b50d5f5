"""What a search shows: a bar on a terminal, and a line for each trial everywhere."""

import json
import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from caravan.runtime.plain_text import plain_line
from caravan.tune.records import Record, State


class Screen:
    """A search's `Progress`. The bar of requests is on standard error, the lines are on standard output."""

    def __init__(self, titles: list[str]) -> None:
        self._titles = titles
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("requests"),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def phase(self, title: str, num_requests: int) -> None:
        """Begin a new bar."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=num_requests)

    def answered(self) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task)

    def trial(self, record: Record, best: Record | None) -> None:
        """Say what was tried, and what came of it."""
        parameters = " ".join(f"{name}={json.dumps(value)}" for name, value in record.parameters.items())
        if record.state is State.COMPLETE:
            pairs = zip(self._titles, record.estimates, strict=True)
            told = ", ".join(f"{title} {estimate}" for title, estimate in pairs)
            is_best = " (the best so far)" if best is not None and best.number == record.number else ""
        else:
            told, is_best = f"{record.state.value}: {record.message}".removesuffix(": "), ""
        self.note(f"trial {record.number}: {parameters}: {told}{is_best}")

    def note(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        if self._bar.disable:
            print(plain_line(text), flush=True)
        else:
            self._bar.console.print(plain_line(text), markup=False, highlight=False)
            if not sys.stdout.isatty():
                print(plain_line(text), flush=True)
