"""The `caravan` command: words into `Settings`, settings into a running server."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

import pydantic
from pydantic_settings import CliApp, SettingsError

from server.serving import StartError, serve
from server.settings import Settings
from server.version import version

_USAGE = """\
usage: caravan <command> [options]

commands:
  serve      serve a model over HTTP
  version    print the version

`caravan serve --help` lists the options; each is also an environment variable such as CARAVAN_PORT.
"""

_FAILED = 1
_WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 when all went well, 1 when the server cannot run, 2 for wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    match words:
        case ["serve", *options]:
            sys.exit(_serve(options))
        case ["version" | "--version"]:
            print(version())
        case [] | ["help" | "--help" | "-h"]:
            print(_USAGE, end="")
        case _:
            sys.exit(_complain(f"there is no command '{words[0]}'\n\n{_USAGE}", _WRONG_USAGE))


def read_settings(options: Sequence[str]) -> Settings:
    """Settings from flags, environment and defaults; raises ValueError with one clear line."""
    try:
        return CliApp.run(Settings, cli_args=list(options))
    except pydantic.ValidationError as error:
        fault = error.errors(include_url=False)[0]
        name = str(fault["loc"][0])
        both = f"--{name.replace('_', '-')} (or CARAVAN_{name.upper()})"
        raise ValueError(f"{both}: {fault['msg']}, not {fault['input']!r}") from error
    except (SettingsError, argparse.ArgumentError) as error:
        raise ValueError(str(error)) from error


def _serve(options: Sequence[str]) -> int:
    try:
        settings = read_settings(options)
    except ValueError as error:
        return _complain(str(error), _WRONG_USAGE)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(serve(settings))
    except StartError as error:
        return _complain(str(error), _FAILED)
    return 0


def _complain(message: str, code: int) -> int:
    print(f"caravan: {message}", file=sys.stderr)
    return code
