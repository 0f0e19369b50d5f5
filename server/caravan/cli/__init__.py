"""The `caravan` command. Each of its commands is a file of `commands`, imported when called."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from caravan.cli.errors import CommandError, complain

# The commands in the order of the help, and what it says of them.
COMMANDS = {
    "serve": "Serve models over HTTP.",
    "ray-serve": "Serve models on a Ray cluster.",
    "pull": "Download a model from the Hugging Face hub.",
    "list": "List the models on this machine.",
    "keys": "Make, list and revoke API keys.",
    "info": "Show a model's properties and how much memory it needs.",
    "chat": "Talk with a model in the terminal.",
    "batch": "Have the requests of a file answered.",
    "tune": "Look for the decoding parameters that suit a task best.",
    "rpc-worker": "Hold and compute a part of a model for a server on another machine.",
    "doctor": "Check the machine and the options, and say how to fix what is wrong.",
    "check-config": "Show the options in effect, where each comes from, and what is wrong with them.",
    "healthcheck": "Check that a running server answers.",
    "version": "Print the version.",
}


class _Commands(TyperGroup):
    """Lists commands by their names alone, and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 (typer's own type is private)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else _load(name), rest


def _load(name: str) -> Any:  # noqa: ANN401 (typer's own type is private)
    module = importlib.import_module(f"caravan.cli.commands.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    app = typer.Typer(add_completion=False)
    app.command(name)(module.command)
    return typer.main.get_command(app)


def _caravan() -> Any:  # noqa: ANN401 (typer's own type is private)
    app = typer.Typer(cls=_Commands, no_args_is_help=True, help="An OpenAI-compatible inference server.")
    for name, text in COMMANDS.items():
        app.command(name, help=text)(lambda: None)
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 when all went well, 1 when it failed, 2 for wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["--version"], ["help"]):
        words = ["version"] if words[0] == "--version" else [*words[1:], "--help"]
    try:
        sys.exit(_caravan().main(words or ["--help"], prog_name="caravan", standalone_mode=False) or 0)
    except CommandError as error:
        sys.exit(complain(str(error), error.exit_code))
    except TyperException as error:
        sys.exit(complain(error.format_message(), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(130)
