"""`caravan check-config`: what the server would be told, and by whom."""

import json
from typing import Any

from caravan.cli.errors import CommandError
from caravan.cli.options import with_settings
from caravan.config.load import Configuration


def _check(configuration: Configuration) -> None:
    """Show the options in effect and where each comes from, or what is wrong with them.

    Takes the options of `caravan serve` and starts nothing. The exit code is 1 if `serve` would not start:
    missing files, unknown names, options that contradict each other.
    """
    from rich.console import Console
    from rich.table import Table

    from caravan.web.startup_checks import check
    from caravan.web.startup_message import StartError

    values = configuration.settings.model_dump(mode="json")
    table = Table("option", "value", "from", box=None, pad_edge=False)
    for name, value in values.items():
        origin = configuration.origins.get(name)
        style = "dim" if origin is None else ""
        table.add_row(name, _shown(value), origin or "default", style=style)
    Console(highlight=False, markup=False).print(table)
    try:
        check(configuration.settings)
    except StartError as error:
        raise CommandError(str(error)) from error


def _shown(value: Any) -> str:  # noqa: ANN401 (any setting's)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


command = with_settings(_check)
