"""`caravan batch`: answers to a file of requests."""

from pathlib import Path
from typing import Annotated

import typer

from caravan.cli.server_options import ApiKey, Url

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Have the requests of a file answered.")


@app.callback()
def group() -> None:
    """Have the requests of a file answered."""


@app.command()
def run(
    file: Annotated[
        Path,
        typer.Argument(help="A JSON object in each line: custom_id, method, url and body, as OpenAI has it."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File of the answers. Errors are in another one, with `-errors`. Default: FILE-output.jsonl."
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="PATH", help="Route of all lines. Default: that of the first one.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model to serve, where a server is started for this. Default: the one that ships."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Have each line of a file answered, with a bar on a terminal.

    All lines are checked before the first is answered. Without --url, what is answered is kept in FILE.batch
    until all of it is there: after Ctrl-C or a crash, the same command goes on. With --url, Ctrl-C cancels
    the batch and writes what has been answered.
    """
    from caravan.cli.batch.run import run as answer

    answer(file, output or Path(f"{file.stem}-output.jsonl"), endpoint, model, url, api_key)
