"""`caravan keys`: who may use a server, and how much."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Annotated

import typer

from caravan.auth import keys_file as keys
from caravan.auth.keys_file import Key, KeyFileError
from caravan.cli.errors import CommandError
from caravan.cli.options import configuration

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Make, list and revoke API keys, and show what they use."
)

File = Annotated[
    str | None, typer.Option("--keys-file", metavar="PATH", help="Default: keys.json in the data folder.")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Limit of the key. Default: none.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the key in logs and metrics.")],
    admin: Annotated[
        bool,
        typer.Option(
            "--admin", help="Let the key load and unload models, and read /status and /admin/usage."
        ),
    ] = False,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    concurrent_requests: Limit = None,
    models: Annotated[
        str | None, typer.Option(metavar="A,B", help="Models that the key may use. Default: all.")
    ] = None,
    priority: Annotated[
        int,
        typer.Option(
            help="From -100 to 100. Of keys that wait, those of a higher priority get 8 of 9 turns."
        ),
    ] = 0,
    max_priority: Annotated[
        int | None,
        typer.Option(
            help="How high a request of the key may put itself, by a negative `priority`: with 2, one of -2 "
            "waits as those of a key with the priority 2 do. Default: the key's priority."
        ),
    ] = None,
    weight: Annotated[
        float, typer.Option(help="Share of the key when several keys want more than there is.")
    ] = 1.0,
    cache_group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keys of the same group share cached prompts.")
    ] = None,
    keys_file: File = None,
) -> None:
    """Make a key and print it. It is shown only now. A running server takes it at once."""
    path = _path(keys_file)
    with _told():
        token = keys.add(
            path,
            name=name,
            role="admin" if admin else "user",
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            concurrent_requests=concurrent_requests,
            models=None if models is None else [model.strip() for model in models.split(",")],
            priority=priority,
            max_priority=max_priority,
            weight=weight,
            cache_group=cache_group,
        )
    print(token)
    typer.echo(f"'{name}' is in {path}; the key itself is kept nowhere.", err=True)


@app.command(name="list")
def list_keys(keys_file: File = None) -> None:
    """Show the keys and their limits."""
    from rich.console import Console
    from rich.table import Table

    path = _path(keys_file)
    with _told():
        known = keys.read(path)
    if not known:
        whom = "nobody" if keys.have_been(path) else "everybody on this machine"
        typer.echo(f"There are no keys in {path}: {whom} may use the server.", err=True)
        return
    table = Table("name", "role", "made", "limits", box=None, header_style="bold")
    for key in known:
        table.add_row(key.name, key.role, key.created[:10], _limits(key))
    Console().print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Name of the key.")], keys_file: File = None) -> None:
    """Remove a key. A running server refuses it at once."""
    with _told():
        num_left = keys.revoke(_path(keys_file), name)
    rest = "" if num_left else " It was the last: nobody may come in until there is another."
    typer.echo(f"'{name}' is revoked.{rest}", err=True)


@app.command()
def usage(
    days: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="Of how many days, today among them.")
    ] = 30,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, the same as GET /admin/usage.")
    ] = False,
    usage_db: Annotated[
        str | None, typer.Option(metavar="PATH", help="Default: usage.db in the data folder.")
    ] = None,
) -> None:
    """Show what each key has used of each model, day by day (UTC)."""
    from caravan_schemas.ops import UsageList
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from caravan.api.store import StorageBusyError
    from caravan.api.usage import read

    path = configuration({"usage_db": usage_db}).settings.usage_path
    if path is None:
        raise CommandError("what keys use is not kept: --usage-db is none")
    try:
        rows = read(path, days)
    except StorageBusyError as error:
        raise CommandError(error.message) from error
    if as_json:
        print(UsageList(data=rows).model_dump_json())
        return
    if not rows:
        typer.echo(f"No key has used anything in {days} days, as far as {path} knows.", err=True)
        return
    table = Table("day", "key", "model", box=None, header_style="bold")
    for heading in ("requests", "input", "cached", "output"):
        table.add_column(heading, justify="right")
    for row in rows:
        numbers = (row.num_model_requests, row.input_tokens, row.input_cached_tokens, row.output_tokens)
        table.add_row(row.day, row.key, escape(row.model), *map(str, numbers))
    Console().print(table)


def _path(given: str | None) -> Path:
    return configuration({"keys_file": given}).settings.keys_path


def _limits(key: Key) -> str:
    told = {
        "requests/min": key.requests_per_minute,
        "tokens/min": key.tokens_per_minute,
        "at once": key.concurrent_requests,
    }
    parts = [f"{limit} {unit}" for unit, limit in told.items() if limit is not None]
    parts += [f"models {', '.join(key.models)}"] if key.models is not None else []
    parts += [f"priority {key.priority}"] if key.priority else []
    parts += [f"priority up to {key.max_priority}"] if key.max_priority is not None else []
    parts += [f"weight {key.weight:g}"] if key.weight != 1 else []
    parts += [f"group {key.cache_group}"] if key.cache_group is not None else []
    return ", ".join(parts) or "none"


@contextlib.contextmanager
def _told() -> Generator[None, None, None]:
    """What the file of keys says, as the command says it."""
    try:
        yield
    except KeyFileError as error:
        raise CommandError(str(error)) from error
