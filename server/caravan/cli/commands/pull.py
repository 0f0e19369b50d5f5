"""`caravan pull`: a model from the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer
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

from caravan.cli.errors import WRONG_USAGE, CommandError
from caravan.cli.units import shown_bytes


def command(
    model: Annotated[
        str, typer.Argument(help="org/repository, or org/repository:quantization.", show_default=False)
    ],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the repository.")] = None,
    data_dir: Annotated[
        str | None, typer.Option(metavar="PATH", help="Folder that models are stored in.")
    ] = None,
) -> None:
    """Download a GGUF model from the Hugging Face hub.

    Without a quantization, Q4_K_M is taken, or the one that is nearest to it. The same command continues a
    download that was interrupted. Checksums are compared. The variables HF_TOKEN, HF_ENDPOINT and
    HF_HUB_OFFLINE are read.
    """
    from caravan.cli.options import configuration
    from caravan.models.hub.names import parse_reference
    from caravan.models.hub.pull import PullError, pull

    folder: Path = configuration({"data_dir": data_dir}).settings.data_dir
    try:
        reference = parse_reference(model)
    except ValueError as error:
        raise CommandError(str(error), WRONG_USAGE) from error
    progress = PullProgress()
    try:
        with progress.bar:
            files = pull(reference, revision, folder, progress)
    except PullError as error:
        raise CommandError(str(error)) from error
    except KeyboardInterrupt as error:
        raise CommandError("interrupted; the same command goes on from here") from error
    from caravan.models.local_models import quantization

    name = f"{reference.repository}:{quantization(files[0])}"
    print(f"{name} is in {files[0].parent}\nserve it: caravan serve --model {name}")


class PullProgress:
    """A bar on a terminal, else a line for each file. On standard error: scripts read standard output."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=False),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def start(self, name: str, size: int) -> None:
        """A file of so many bytes comes next."""
        if self.bar.disable:
            self.bar.console.print(f"{name}, {shown_bytes(size)}", markup=False, soft_wrap=True)
        self._task = self.bar.add_task(name.rpartition("/")[2], total=size)

    def advance(self, count: int) -> None:
        """So many bytes more of it are here."""
        assert self._task is not None
        self.bar.advance(self._task, count)
