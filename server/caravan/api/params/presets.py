"""Named sets of decoding values: those that come with the server, and the operator's own."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caravan_schemas.sampling import DecodingFields
from pydantic import ValidationError

Presets = Mapping[str, DecodingFields]

# As decoding is usually taught: the surer an answer must be, the lower its temperature, the shorter its tail.
BUILT_IN: dict[str, tuple[str, DecodingFields]] = {
    "precise": (
        "support, legal and medical answers",
        DecodingFields(temperature=0.2, top_k=20, top_p=0.8, min_p=0.05, repeat_penalty=1.0),
    ),
    "balanced": (
        "everyday conversation",
        DecodingFields(temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, repeat_penalty=1.05),
    ),
    "creative": (
        "stories and brainstorming",
        DecodingFields(temperature=1.1, top_k=100, top_p=0.97, min_p=0.02, presence_penalty=0.3),
    ),
}


class PresetError(ValueError):
    """The operator's presets cannot be used; the message is one line."""


def load(path: Path | None) -> Presets:
    """The built-in presets and those of a JSON file, `{"name": {"temperature": 0.3, ...}, ...}`.

    A preset of the file replaces a built-in one of its name. Raises PresetError.
    """
    built_in = {name: fields for name, (_, fields) in BUILT_IN.items()}
    if path is None:
        return built_in
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PresetError(f"the presets in {path} cannot be read: {reason}") from error
    if not isinstance(document, dict):
        raise PresetError(f"the presets in {path} must be a JSON object of objects")
    return built_in | {name: read(f"preset '{name}' of {path}", value) for name, value in document.items()}


def operator_defaults(values: Mapping[str, Any], where: str = "--defaults") -> DecodingFields:
    """Values of the option `defaults`, which errors call `where`; those that came as text are read as JSON if
    they are any. Raises PresetError.
    """
    return read(where, {name: _decoded(value) for name, value in values.items()})


def read(where: str, values: object) -> DecodingFields:
    """Decoding values that an operator wrote, held to the limits of a request's."""
    try:
        return DecodingFields.model_validate_json(json.dumps(values))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        path = ".".join(str(step) for step in fault["loc"])
        if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
            raise PresetError(f"{where}: there is no decoding value '{path}'{_hint(path)}") from error
        raise PresetError(f"{where}: {f'{path}: ' if path else ''}{fault['msg']}") from error
    except (TypeError, ValueError, RecursionError) as error:
        # Dates, which TOML has, and JSON has not.
        raise PresetError(f"{where}: {error}") from error


def _hint(wrong: str) -> str:
    close = difflib.get_close_matches(wrong.replace("-", "_"), DecodingFields.model_fields, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _decoded(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
