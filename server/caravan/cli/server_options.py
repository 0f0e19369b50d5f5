"""Options of commands that ask a running server."""

from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(envvar="CARAVAN_URL", help="Address of a running server. Default: start one for this."),
]
ApiKey = Annotated[
    str | None, typer.Option(envvar="CARAVAN_API_KEY", help="Key for that server.", show_default=False)
]
