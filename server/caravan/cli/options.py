"""The options of `Settings` as flags of a command, under headings."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

from caravan.cli.errors import WRONG_USAGE, CommandError
from caravan.config.load import Configuration, ConfigurationError, flag, read_configuration
from caravan.config.model_settings import OLD_NAMES
from caravan.config.settings import Settings

# The help shows options under headings: each holds from the option named here to the next one named.
SECTIONS = {
    "config": "Configuration",
    "model": "Model",
    "host": "Network",
    "context_size": "Engine",
    "cache_type_k": "llama.cpp",
    "keys_file": "Access",
    "defaults": "Requests",
    "responses_db": "Responses",
    "sse_ping_seconds": "Operation",
}

_NEGATION = "no_"


def with_settings(run: Callable[[Configuration], None]) -> Callable[..., None]:
    """A command with a flag for each setting; what is not given is left to environment, file and defaults.

    The flags' texts are pydantic's to read, so that all sources are read alike.
    """

    def command(**flags: Any) -> None:  # noqa: ANN401 (texts and switches)
        for name in [name for name in flags if name.startswith(_NEGATION)]:
            if flags.pop(name):
                flags[name.removeprefix(_NEGATION)] = False
        run(configuration(flags))

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(_parameters())  # type: ignore[attr-defined]
    return command


def configuration(flags: Mapping[str, object]) -> Configuration:
    """The effective settings; flags that are None were not given. Raises CommandError."""
    try:
        return read_configuration({name: value for name, value in flags.items() if value is not None})
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from error


def _parameters() -> list[inspect.Parameter]:
    sections: dict[str, list[inspect.Parameter]] = {heading: [] for heading in SECTIONS.values()}
    section = ""
    for name, field in Settings.model_fields.items():
        section = SECTIONS.get(name, section)
        metavar = _metavar(field.annotation)
        if metavar is None:
            continue
        sections[section].append(_parameter(name, metavar, help=_help(field), rich_help_panel=section))
        if not metavar:
            sections[section].append(_parameter(f"{_NEGATION}{name}", "", hidden=True))
        for old in [old for old, current in OLD_NAMES.items() if current == name]:
            sections[section].append(_parameter(old, metavar, hidden=True))
    return [parameter for parameters in sections.values() for parameter in parameters]


def _parameter(name: str, metavar: str, **details: Any) -> inspect.Parameter:  # noqa: ANN401 (typer's)
    option = typer.Option(flag(name), metavar=metavar or None, **details)
    annotation: Any = Annotated[str | None, option] if metavar else Annotated[bool | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(annotation: Any) -> str | None:  # noqa: ANN401 (what pydantic gives)
    """What a flag's value is; empty for a switch, None where an option is for the file alone."""
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not NoneType]
    if origin in (UnionType, Union, Annotated):
        return _metavar(parts[0])
    if origin is list:
        return None if isinstance(parts[0], type) and issubclass(parts[0], BaseModel) else "A,B"
    names = {bool: "", int: "N", float: "X", Path: "PATH", dict: "PAIRS", ByteSize: "SIZE"}
    return names.get(origin or annotation, "TEXT")


def _help(field: FieldInfo) -> str:
    """The description with choices and default, escaped where rich would see markup."""
    text = field.description or ""
    if get_origin(field.annotation) is Literal:
        text += f" One of {', '.join(get_args(field.annotation))}."
    default = field.get_default(call_default_factory=True)
    if not isinstance(default, bool) and default not in (None, "", [], {}) and "Default:" not in text:
        shown = f"{default >> 20}MiB" if isinstance(default, ByteSize) else default
        shown = f"{default:g}" if isinstance(default, float) else shown
        text += f" Default: {shown}." if f"{shown}: " not in text else ""
    return text.replace("[", "\\[")
