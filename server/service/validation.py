"""JSON bodies into request models; what Pydantic finds becomes one error that names the field.

The bytes go to Pydantic's own JSON reader, which refuses lone surrogates, deep nesting and numbers of
thousands of digits by itself.
"""

import difflib
import re
from collections.abc import Iterable
from typing import TypeVar

import annotated_types
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.base import Schema
from server.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from server.service.unsupported import NEUTRAL_VALUES, PART_TYPES

S = TypeVar("S", bound=Schema)

_INDEX = re.compile(r"\[\d+\]")

_TYPES = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "an integer",
    "list_type": "an array",
    "model_type": "an object",
    "string_type": "a string",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def parse(schema: type[S], body: bytes, *, allow_unknown: bool) -> S:
    """The request in `body`, or an InvalidRequestError about its first fault.

    Unsupported fields pass with values that ask for nothing. With `allow_unknown`, fields that nobody knows
    pass too; known ones that this server lacks are refused all the same.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    faults = [fault for fault in problems if not _is_excused(fault, allow_unknown)]
    if faults:
        # A misspelt field is also a missing one; the misspelling says more.
        faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
        raise _translate(schema, faults[0])
    return schema.model_validate_json(body, extra="ignore")


def _is_excused(fault: ErrorDetails, allow_unknown: bool) -> bool:
    if fault["type"] != "extra_forbidden":
        return False
    is_neutral = NEUTRAL_VALUES.get(_INDEX.sub("[]", _path(fault)))
    return allow_unknown if is_neutral is None else is_neutral(fault["input"])


def _translate(schema: type[Schema], fault: ErrorDetails) -> InvalidRequestError:
    kind, param = fault["type"], _path(fault)
    if kind == "json_invalid":
        return InvalidRequestError(f"The body is not valid JSON: {fault['ctx']['error']}.")
    if kind == "extra_forbidden":
        return _unexpected_field(schema, param)
    if not param:
        return InvalidRequestError("The body must be a JSON object.")
    if kind == "missing":
        message = f"'{param}' is required."
        return InvalidRequestError(message, param=param, code="missing_required_parameter")
    if kind == "literal_error" and str(fault["input"]) in PART_TYPES:
        message = f"Content of type '{fault['input']}' is not supported; only text parts are."
        return UnsupportedParameterError(message, param=param)
    if kind == "message_role" and isinstance(fault["input"], dict):
        param += ".role"
        message = "must be one of 'system', 'developer', 'user', 'assistant', 'tool'"
        return InvalidRequestError(f"'{param}' {message}.", param=param, code="invalid_value")
    code = "invalid_type" if kind in _TYPES or kind.endswith("_kind") else "invalid_value"
    return InvalidRequestError(f"'{param}' {_complaint(schema, fault)}.", param=param, code=code)


def _complaint(schema: type[Schema], fault: ErrorDetails) -> str:
    """What a value must be, as the end of a sentence that began with the field's name."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in _TYPES:
        return f"must be {_TYPES[kind]}"
    if kind in _BOUNDS:
        constraint, words = _BOUNDS[kind]
        return _range(schema, fault["loc"]) or f"must be {words} {context[constraint]}"
    if kind == "too_short":
        return f"must have at least {context['min_length']} item{'s' * (context['min_length'] > 1)}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} items"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return fault["msg"]


def _range(schema: type[Schema], location: tuple[int | str, ...]) -> str | None:
    """Both bounds of a top-level number, such as `must be between 0 and 2`."""
    field = schema.model_fields.get(str(location[0])) if len(location) == 1 else None
    if field is None:
        return None
    low: object = None
    high: object = None
    open_low = False
    for constraint in field.metadata:
        if isinstance(constraint, annotated_types.Ge):
            low = constraint.ge
        elif isinstance(constraint, annotated_types.Gt):
            low, open_low = constraint.gt, True
        elif isinstance(constraint, annotated_types.Le):
            high = constraint.le
    if low is None or high is None:
        return None
    return f"must be greater than {low} and at most {high}" if open_low else f"must be from {low} to {high}"


def _unexpected_field(schema: type[Schema], param: str) -> InvalidRequestError:
    pattern = _INDEX.sub("[]", param)
    if pattern in NEUTRAL_VALUES:
        return UnsupportedParameterError(f"'{param}' is not supported by this server.", param=param)
    parent, _, name = param.rpartition(".")
    near = difflib.get_close_matches(name[:64], sorted(_known_names(schema, parent)), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UnknownParameterError(f"Unknown parameter: '{_shortened(param)}'.{hint}", param=_shortened(param))


def _known_names(schema: type[Schema], parent: str) -> Iterable[str]:
    if parent:
        return ("role", "content", "name", "tool_call_id", "type", "text", "include_usage")
    return {*schema.model_fields, *(name for name in NEUTRAL_VALUES if "." not in name)}


def _path(fault: ErrorDetails) -> str:
    """The place of a fault as a client writes it; the tags of union members are no part of it."""
    path = ""
    last = len(fault["loc"]) - 1
    for position, step in enumerate(fault["loc"]):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not _is_tag(step) or (position == last and fault["type"] == "extra_forbidden"):
            path += f".{step}" if path else step
    return path


def _is_tag(step: str) -> bool:
    return step.startswith("<") and step.endswith(">")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
