"""`caravan ray-serve`: a Ray cluster on this machine, from the file that a real one takes."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from caravan.cli.errors import CommandError


def command(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="YAML file as `serve deploy` takes it. Default: one engine of the small model that ships.",
        ),
    ] = None,
) -> None:
    """Serve models over HTTP by Ray Serve: a cluster on this machine, until interrupted.

    The same file goes to a real cluster with `serve deploy`. The key `args` of an application has the
    options; the server's own are in its `settings`.
    """
    if importlib.util.find_spec("ray") is None:
        raise CommandError("this needs Ray, which is not installed: pip install 'llama-caravan[ray]'")

    from caravan.ray_serve.local import FileError, serve_file

    try:
        serve_file(config)
    except FileError as error:
        raise CommandError(str(error)) from error
