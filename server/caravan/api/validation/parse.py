"""JSON bodies into request models; what Pydantic finds becomes one error that names the field.

The bytes go to Pydantic's own JSON reader, which refuses deep nesting and numbers of thousands of digits by
itself. Lone surrogates, which it refuses as well, are replaced.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from caravan_schemas.base import UNSUPPORTED, Schema
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from caravan.api.validation import surrogates
from caravan.api.validation.extra_fields import Extra, extras, extras_at, joined, judge, left_out_tools
from caravan.api.validation.unsupported import PART_TYPES
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError

S = TypeVar("S", bound=Schema)


@dataclass(frozen=True)
class Parsed(Generic[S]):
    """A request, what of its body has no effect, by names such as `client_metadata`, and where it had half
    characters, which were replaced.
    """

    request: S
    ignored: tuple[str, ...]
    replaced: tuple[str, ...] = ()


# Of Pydantic's reader, which does not tell it.
_MOST_LEVELS = 200
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


def parse(schema: type[S], body: bytes, *, strict: bool) -> Parsed[S]:
    """The request in `body`, or an InvalidRequestError about its first fault.

    Unsupported fields pass with values that ask for nothing. Unless it is `strict`, fields that nobody knows
    pass, too, and so do tools that only others have, if they are merely offered.
    """
    try:
        # Collecting unknown fields is cheap; having Pydantic forbid them costs an error object for each.
        request = schema.model_validate_json(body, extra="allow")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        if fault["type"] == "json_invalid":
            mended = surrogates.replaced(body)
            if mended is not None:
                found = parse(schema, mended, strict=strict)
                return dataclasses.replace(found, replaced=surrogates.places(body))
        else:
            # A misspelt field is also a missing one, and the misspelling says more.
            judge(schema, _extras_around(schema, body, fault), strict=strict)
        raise _translate(schema, fault) from error
    offered = left_out_tools(request, strict=strict)
    return Parsed(request, judge(schema, extras(request), request, strict=strict) + offered)


def _extras_around(schema: type[Schema], body: bytes, fault: ErrorDetails) -> Iterator[Extra]:
    """Undeclared fields of a body that is at fault: beside the fault, and at the top."""
    document = from_json(body)
    steps = [step for step in fault["loc"] if not _is_tag(step)]
    parent = document
    for step in steps[:-1]:
        parent = parent[step]
    yield from extras_at(schema, steps[:-1], parent)
    yield from extras_at(schema, (), document)


def _translate(schema: type[Schema], fault: ErrorDetails) -> InvalidRequestError:
    kind, param = fault["type"], joined([step for step in fault["loc"] if not _is_tag(step)])
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
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
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
        open_low = open_low or hasattr(constraint, "gt")
        low = getattr(constraint, "gt", getattr(constraint, "ge", low))
        high = getattr(constraint, "le", high)
    if low is None or high is None:
        return None
    return f"must be greater than {low} and at most {high}" if open_low else f"must be from {low} to {high}"


def _is_tag(step: int | str) -> bool:
    """Whether a step of Pydantic's is the tag of a union's member, which is no part of the JSON."""
    return isinstance(step, str) and step.startswith("<")
