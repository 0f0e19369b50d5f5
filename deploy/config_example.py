"""Writes `config.example.toml` from the settings: `python -m deploy.config_example`."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from caravan.cli.options import SECTIONS
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings
from pydantic.fields import FieldInfo

EXAMPLE = Path(__file__).with_name("config.example.toml")

_HEAD = """\
# Options of Caravan: `caravan serve --config FILE`, or the variable CARAVAN_CONFIG.
# A flag (--port) beats a variable (CARAVAN_PORT), a variable beats this file, and this file beats the
# defaults, which are shown here. Relative paths are seen from the directory that the server is started in.
# `caravan check-config --config FILE` says what is wrong, and what holds.
"""


def example() -> str:
    """The text of the file."""
    parts = [_HEAD]
    sections: dict[str, list[str]] = {heading: [] for heading in SECTIONS.values()}
    heading = ""
    for name, field in Settings.model_fields.items():
        heading = SECTIONS.get(name, heading)
        if name not in ("config", "models"):
            sections[heading] += _option(name, field)
    for heading, lines in sections.items():
        if lines:
            parts += [f"\n## {heading}\n", *lines]
    parts += ["\n## Several models, each a table like this one\n", "\n# [[models]]\n"]
    for name, field in ModelSettings.model_fields.items():
        parts += _option(name, field)
    return "".join(parts)


def _option(name: str, field: FieldInfo) -> Iterator[str]:
    yield "\n"
    for line in textwrap.wrap(field.description or "", 100):
        yield f"# {line}\n"
    yield f"# {name} = {_value(field)}\n"


def _value(field: FieldInfo) -> str:
    """The default in TOML, or an example of a value where the default is none at all."""
    if field.examples:
        return json.dumps(field.examples[0])
    if field.default_factory is not None:
        return '"~/.local/share/caravan"'
    default = None if field.is_required() else field.default
    return _sample(field.annotation) if default is None else json.dumps(default)


def _sample(annotation: Any) -> str:  # noqa: ANN401 (what pydantic gives)
    parts = [part for part in get_args(annotation) if part is not NoneType]
    if parts:
        return _sample(parts[0])
    return {int: "0", Path: '"path/to/file"'}.get(annotation, '"name"')


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")
