"""`caravan list`: the models that are here."""

import sys
from typing import Annotated

import typer

from caravan.cli.units import shown_bytes
from caravan.runtime.plain_text import plain_line


def command(
    data_dir: Annotated[
        str | None, typer.Option(metavar="PATH", help="Folder that pulled models are stored in.")
    ] = None,
) -> None:
    """List the models on this machine, and how much memory each takes when it is served."""
    from rich.console import Console
    from rich.table import Table

    from caravan.cli.model_facts import known_models
    from caravan.cli.options import configuration

    settings = configuration({"data_dir": data_dir}).settings
    found, faults = known_models(settings)
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("architecture")
    table.add_column("stored as")
    for name in ("context", "size", "memory"):
        table.add_column(name, justify="right")
    for model in found:
        table.add_row(
            plain_line(model.name),
            plain_line(model.header.architecture),
            model.quantization,
            str(model.header.training_context or "?"),
            shown_bytes(model.header.file_size),
            shown_bytes(model.sizes.memory.total),
        )
    Console(highlight=False, markup=False).print(table)
    for fault in faults:
        print(f"caravan: {plain_line(str(fault))}", file=sys.stderr)
