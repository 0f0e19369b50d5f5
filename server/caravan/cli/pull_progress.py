"""How far a pull is, on a terminal as a bar and elsewhere as a line for each file."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from caravan.cli.units import shown_bytes


class PullProgress:
    """Drawn on standard error, so that standard output stays fit for scripts."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=False),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "PullProgress":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, name: str, size: int) -> None:
        """A file of so many bytes comes next."""
        if self._progress.disable:
            self._progress.console.print(f"{name}, {shown_bytes(size)}", markup=False, soft_wrap=True)
        self._task = self._progress.add_task(name.rpartition("/")[2], total=size)

    def advance(self, count: int) -> None:
        """So many bytes more of it are here."""
        assert self._task is not None
        self._progress.advance(self._task, count)
