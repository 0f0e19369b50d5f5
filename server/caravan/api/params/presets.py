"""Decoding values that a request need not set: presets, and the defaults of operator, file and llama.cpp."""

import difflib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caravan_schemas.samplers import FIXED
from caravan_schemas.sampling import DecodingFields
from pydantic import ValidationError

from caravan.api.params.resolved import DEFAULTABLE, Source, Value, given

log = logging.getLogger(__name__)

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


# Keys of GGUF files by the parameters that they recommend values for.
_GGUF_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "xtc_probability": "general.sampling.xtc_probability",
    "xtc_threshold": "general.sampling.xtc_threshold",
    "repeat_last_n": "general.sampling.penalty_last_n",
    "repeat_penalty": "general.sampling.penalty_repeat",
    "mirostat": "general.sampling.mirostat",
    "mirostat_tau": "general.sampling.mirostat_tau",
    "mirostat_eta": "general.sampling.mirostat_eta",
    "samplers": "general.sampling.sequence",
}


class PresetError(ValueError):
    """The operator's presets cannot be used; the message is one line."""


def load(path: Path | None) -> Presets:
    """Read the built-in presets and those of a JSON file, `{"name": {"temperature": 0.3, ...}, ...}`.

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
    """Read the option `defaults`, which errors call `where`; texts are read as JSON if they are any.

    Raises PresetError.
    """
    return read(where, {name: _decoded(value) for name, value in values.items()})


def read(where: str, values: object) -> DecodingFields:
    """Read decoding values that an operator wrote, within the limits of a request's. Raises PresetError."""
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


def effective(metadata: Mapping[str, str], operator: DecodingFields) -> dict[str, Value]:
    """Return the defaults of a model: the operator's over the file's over llama.cpp's.

    A recommendation of the file that is out of range is left out, with a warning.
    """
    values = {
        name: Value(
            list(default) if isinstance(default := parameter.default, tuple) else default, Source.LLAMA_CPP
        )
        for name, parameter in DEFAULTABLE.items()
        if parameter.default is not None
    }
    for name, key in _GGUF_KEYS.items():
        text = metadata.get(key)
        if text is not None:
            value = _recommended(name, key, text)
            if value is not None:
                values[name] = Value(value, Source.GGUF)
    values |= {name: Value(value, Source.OPERATOR) for name, value in given(operator).items()}
    return values


def _recommended(name: str, key: str, text: str) -> object:
    default = DEFAULTABLE[name].default
    try:
        value: object
        if name == "samplers":
            # A file recommends what truncates; it turns nothing else off.
            value = [part for part in text.split(";") if part not in FIXED]
        else:
            value = float(text) if isinstance(default, float) else int(text)
        return given(DecodingFields.model_validate({name: _shortest(value)}))[name]
    except (ValueError, ValidationError):
        log.warning("the model recommends %s = %.100r, which is out of range; passed over", key, text)
        return None


def _shortest(value: object) -> object:
    """Round a float32 of a file as people write it: 0.1 instead of 0.10000000149011612."""
    return float(f"{value:.7g}") if isinstance(value, float) else value
