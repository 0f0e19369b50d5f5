"""Settings from flags, environment and file, with where each value came from and errors that say so."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
from pydantic_core import ErrorDetails

from caravan.config.model_settings import OLD_NAMES, ModelSettings
from caravan.config.paths import special_kind
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
    variables = _variables()
    path = flags.get("config") or variables.get("config")
    document = {} if path is None else _load(path)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for source, write in ((document, f"{{}} in {path}".format), (variables, variable), (flags, flag)):
        twice = [old for old in source if OLD_NAMES.get(old) in source]
        if twice:
            old = twice[0]
            raise ConfigurationError(f"{write(old)} is the old name of {write(OLD_NAMES[old])}: leave it out")
        for name, value in source.items():
            current = OLD_NAMES.get(name, name)
            values[current], origins[current] = value, write(name)
    try:
        return Configuration(Settings(**values), origins)
    except pydantic.ValidationError as error:
        faults = error.errors(include_url=False)
        raise ConfigurationError("\n".join(_explain(fault, origins, path) for fault in faults)) from error


def _variables() -> dict[str, str]:
    """The options among the environment variables; empty ones do not count. Raises ConfigurationError."""
    known = {variable(name): name for name in (*Settings.model_fields, *OLD_NAMES)}
    unknown = [
        name
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and name not in known and name not in _OTHER_VARIABLES
        if not _SERVICE_LINK.fullmatch(name)
    ]
    if unknown:
        options = [variable(name) for name in Settings.model_fields]
        raise ConfigurationError(
            "\n".join(f"{name}: there is no such option{_hint(name, options)}" for name in unknown)
        )
    return {name: text for key, name in known.items() if (text := os.environ.get(key))}


def _load(path: str | Path) -> dict[str, Any]:
    file = Path(path).expanduser()
    if (kind := special_kind(file)) is not None:
        raise ConfigurationError(f"{path}: this is {kind}, and a regular file is needed")
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{path}: {reason}") from error
    if "config" in document:
        raise ConfigurationError(f"{path}: 'config' cannot be set in the file itself")
    tables = document.get("models")
    models = [table for table in tables if isinstance(table, dict)] if isinstance(tables, list) else []
    for table, fields in (
        (document, Settings.model_fields),
        *((t, ModelSettings.model_fields) for t in models),
    ):
        for name, value in table.items():
            # Pydantic would take them for 1 and 0.
            if isinstance(value, bool) and name in fields and fields[name].annotation is not bool:
                raise ConfigurationError(f"{path}: {name} is no switch, so it cannot be {str(value).lower()}")
    return document


def _explain(fault: ErrorDetails, origins: Mapping[str, str], path: object) -> str:
    location = fault["loc"]
    message = fault["msg"].removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    origin = origins.get(name, flag(name))
    if fault["type"] == "extra_forbidden":
        table = ModelSettings if len(location) > 1 else Settings
        known = [field for field in table.model_fields if field != "config"]
        where = origin if origin == variable(name) else path
        return f"{where}: there is no option '{_path(location)}'{_hint(str(location[-1]), known)}"
    given = str(fault["input"])
    if name == "port" and given.startswith("tcp://"):
        return (
            f"{origin}: {given} is what Kubernetes sets for a Service named 'caravan'. Give the pod "
            "`enableServiceLinks: false` or the Service another name, or set --port."
        )
    place = origin.replace(name, _path(location), 1) if len(location) > 1 else origin
    if name == "api_key" or isinstance(fault["input"], Mapping) or f"'{given}'" in message:
        return f"{place}: {message}"
    return f"{place}: {message[:1].lower()}{message[1:]}, not {fault['input']!r:.200}"


def _path(location: tuple[int | str, ...]) -> str:
    """A place in the file, such as `models[0].path`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def _hint(wrong: str, known: Iterable[str]) -> str:
    by_letters = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wrong.replace("-", "_").lower(), by_letters, n=1)
    return f"; did you mean '{by_letters[close[0]]}'?" if close else ""
