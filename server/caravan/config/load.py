"""Settings from flags, environment and file, with where each value came from and errors that say so."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings

PREFIX = "CARAVAN_"
# Read by clients of a server, not by the server.
_OTHER_VARIABLES = frozenset({"CARAVAN_URL", "CARAVAN_API_KEY"})
# What Kubernetes puts into each container for Services named `caravan` or `caravan-...`.
_SERVICE_LINK = re.compile(
    r"CARAVAN_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)|CARAVAN_\w+_PORT"
)


class ConfigurationError(ValueError):
    """Options that cannot be used; the message has a line for each fault."""


@dataclass(frozen=True)
class Configuration:
    """Settings, and for those that are not defaults the flag, variable or file that they came from."""

    settings: Settings
    origins: Mapping[str, str]


def flag(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def variable(name: str) -> str:
    """The environment variable of an option."""
    return f"{PREFIX}{name.upper()}"


def read_configuration(flags: Mapping[str, Any]) -> Configuration:
    """Flags over environment over file over defaults. Raises ConfigurationError."""
    unknown = [_unknown_variable(name) for name in sorted(os.environ) if _is_unknown(name)]
    if unknown:
        raise ConfigurationError("\n".join(unknown))
    variables = EnvSettingsSource(Settings)()
    path = flags.get("config") or variables.get("config")
    document = {} if path is None else _load(Path(path).expanduser())
    origins = {
        **{name: f"{name} in {path}" for name in document},
        **{name: variable(name) for name in variables},
        **{name: flag(name) for name in flags},
    }
    try:
        return Configuration(Settings(**{**document, **variables, **flags}), origins)
    except pydantic.ValidationError as error:
        faults = error.errors(include_url=False)
        raise ConfigurationError("\n".join(_explain(fault, origins, path) for fault in faults)) from error


def _load(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path}: {reason}") from error
    if "config" in document:
        raise ConfigurationError(f"{path}: 'config' cannot be set in the file itself")
    for table, fields in ((document, Settings.model_fields), *_model_tables(document)):
        for name, value in table.items():
            # Pydantic would take them for 1 and 0.
            if isinstance(value, bool) and name in fields and not _may_be_switch(fields[name].annotation):
                raise ConfigurationError(f"{path}: {name} is no switch, so it cannot be {str(value).lower()}")
    return document


def _model_tables(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, FieldInfo]]]:
    tables = document.get("models")
    for table in tables if isinstance(tables, list) else ():
        if isinstance(table, dict):
            yield table, ModelSettings.model_fields


def _may_be_switch(annotation: object) -> bool:
    return annotation is bool or any(_may_be_switch(part) for part in get_args(annotation))


def _is_unknown(name: str) -> bool:
    return (
        name.startswith(PREFIX)
        and name.removeprefix(PREFIX).lower() not in Settings.model_fields
        and name not in _OTHER_VARIABLES
        and not _SERVICE_LINK.fullmatch(name)
    )


def _unknown_variable(name: str) -> str:
    return f"{name}: there is no such option{_hint(name, map(variable, Settings.model_fields))}"


def _explain(fault: ErrorDetails, origins: Mapping[str, str], path: object) -> str:
    location = fault["loc"]
    name = str(location[0])
    origin = origins.get(name, flag(name))
    if fault["type"] == "extra_forbidden":
        known = _fields(location[:-1])
        return f"{path}: there is no option '{_path(location)}'{_hint(str(location[-1]), known)}"
    given = str(fault["input"])
    if name == "port" and given.startswith("tcp://"):
        return (
            f"{origin}: {given} is what Kubernetes sets for a Service named 'caravan'. Give the pod "
            "`enableServiceLinks: false` or the Service another name, or set --port."
        )
    place = origin.replace(name, _path(location), 1) if len(location) > 1 else origin
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}, not {fault['input']!r:.200}"


def _path(location: tuple[int | str, ...]) -> str:
    """A place in the file, such as `models[0].path`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _hint(wrong: str, known: Iterator[str]) -> str:
    close = difflib.get_close_matches(wrong.replace("-", "_"), list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _fields(location: tuple[int | str, ...]) -> Iterator[str]:
    """The names that a table of the file may have."""
    table: type[pydantic.BaseModel] = Settings
    for step in location:
        if isinstance(step, str):
            table = next(_tables(table.model_fields[step].annotation))
    yield from (name for name in table.model_fields if name != "config")


def _tables(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:  # noqa: ANN401 (what pydantic gives)
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _tables(part)
