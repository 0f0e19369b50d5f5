"""What Pydantic finds wrong with a body, as one error that names the field."""

from collections.abc import Iterable

from caravan_schemas.base import UNSUPPORTED, Schema
from pydantic_core import ErrorDetails

from caravan.api.validation.unsupported import PART_TYPES
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError

# Of Pydantic's reader, which does not tell it.
_MOST_LEVELS = 200
# Pydantic's step to a name in an object, behind the name.
_A_NAME = "[key]"
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


def translated(schema: type[Schema], fault: ErrorDetails) -> InvalidRequestError:
    """Make the error about a fault that Pydantic has found."""
    kind, steps = fault["type"], steps_of(fault)
    if steps[-1:] == [_A_NAME]:
        # The name itself is wrong, and may be long.
        param = joined(steps[:-2])
        message = f"Each name in '{param}' {_complaint(schema, fault)}."
        return InvalidRequestError(message, param=param, code="invalid_value")
    param = joined(steps)
    if kind == "json_invalid" and not fault["input"].strip():
        return InvalidRequestError("The body is empty, and must be a JSON object.", code="invalid_json")
    if kind == "json_invalid" and fault["ctx"]["error"].startswith("recursion limit"):
        message = f"The JSON is nested too deeply: within the body's object, {_MOST_LEVELS} levels are read."
        return InvalidRequestError(message, code="nested_too_deeply")
    if kind == "json_invalid":
        message = f"The body is not valid JSON: {fault['ctx']['error']}."
        return InvalidRequestError(message, code="invalid_json")
    if not param:
        return InvalidRequestError("The body must be a JSON object.", code="invalid_type")
    if kind == "missing":
        message = f"'{param}' is required."
        return InvalidRequestError(message, param=param, code="missing_required_parameter")
    if kind == "literal_error" and str(fault["input"]) in PART_TYPES:
        message = f"'{param}' '{fault['input']}' is not supported; only text parts are."
        return UnsupportedParameterError(message, param=param)
    if kind == "message_role" and isinstance(fault["input"], dict):
        param += ".role"
        message = "must be one of 'system', 'developer', 'user', 'assistant', 'tool', 'function'"
        return InvalidValueError(param, f"{message}")
    if kind == UNSUPPORTED:
        return UnsupportedParameterError(f"'{param}' {fault['msg']}.", param=param)
    code = "invalid_type" if kind in _TYPES or kind.endswith("_kind") else "invalid_value"
    return InvalidRequestError(f"'{param}' {_complaint(schema, fault)}.", param=param, code=code)


def _complaint(schema: type[Schema], fault: ErrorDetails) -> str:
    """Say what a value must be, as the end of a sentence that begins with the field's name."""
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
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind == "literal_error":
        return f"must be {context['expected'].replace('True', 'true').replace('False', 'false')}"
    return fault["msg"]


def _range(schema: type[Schema], location: tuple[int | str, ...]) -> str | None:
    """Write both bounds of a top-level number, such as `must be from 0 to 2`."""
    field = schema.model_fields.get(str(location[0])) if len(location) == 1 else None
    if field is None:
        return None
    low: object = None
    high: object = None
    open_low = False
    for constraint in field.metadata:
        open_low = open_low or hasattr(constraint, "gt")
        low = getattr(constraint, "gt", getattr(constraint, "ge", low))
        high = getattr(constraint, "le", high)
    if low is None or high is None:
        return None
    return f"must be greater than {low} and at most {high}" if open_low else f"must be from {low} to {high}"


def steps_of(fault: ErrorDetails) -> list[int | str]:
    """Return the place of a fault, without Pydantic's tags of members of unions."""
    return [step for step in fault["loc"] if not (isinstance(step, str) and step.startswith("<"))]


def joined(steps: Iterable[int | str]) -> str:
    """Write a place as a client would."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path
