"""JSON bodies into request models; what Pydantic finds becomes one error that names the field.

The bytes go to Pydantic's own JSON reader, which refuses lone surrogates, deep nesting and numbers of
thousands of digits by itself.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from schemas.base import Schema
from schemas.kinds import UNSUPPORTED
from server.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from server.service.nested_names import names_at
from server.service.unsupported import NEUTRAL_VALUES, PART_TYPES

S = TypeVar("S", bound=Schema)

_INDEX = re.compile(r"\[\d+\]")

_LONGEST_PATH = 200


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
        # Collecting unknown fields is cheap; having Pydantic forbid them costs an error object for each.
        request = schema.model_validate_json(body, extra="allow")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        extras = () if fault["type"] == "json_invalid" else _extras_around(schema, body, fault)
        # A misspelt field is also a missing one, and the misspelling says more.
        _refuse_extras(schema, extras, allow_unknown)
        raise _translate(schema, fault) from error
    _refuse_extras(schema, _extras(request, ""), allow_unknown)
    return request


def _refuse_extras(schema: type[Schema], extras: Iterable[tuple[str, object]], allow_unknown: bool) -> None:
    for path, value in extras:
        is_neutral = NEUTRAL_VALUES.get(_pattern(path))
        if not (allow_unknown if is_neutral is None else is_neutral(value)):
            raise _unexpected_field(schema, path)


def _extras(value: Schema, path: str) -> Iterator[tuple[str, object]]:
    """Undeclared fields of a request and of all that is in it, with their paths."""
    prefix = f"{path}." if path else ""
    for name, extra in (value.model_extra or {}).items():
        yield prefix + name, extra
    for name in type(value).model_fields:
        member = getattr(value, name)
        if isinstance(member, Schema):
            yield from _extras(member, prefix + name)
        elif isinstance(member, list) and member and isinstance(member[0], Schema):
            for index, item in enumerate(member):
                yield from _extras(item, f"{prefix}{name}[{index}]")


def _extras_around(schema: type[Schema], body: bytes, fault: ErrorDetails) -> Iterator[tuple[str, object]]:
    """Undeclared fields of a body that is at fault: beside the fault, and at the top."""
    document = from_json(body)
    steps = [step for step in fault["loc"] if not _is_tag(step)]
    parent = document
    for step in steps[:-1]:
        parent = parent[step]
    for path, value in ((_joined(steps[:-1]), parent), ("", document)):
        known = _known_names(schema, _pattern(path))
        # Objects whose names are the client's own have no unknown ones.
        if isinstance(value, dict) and known:
            prefix = f"{path}." if path else ""
            yield from ((prefix + name, extra) for name, extra in value.items() if name not in known)


def _translate(schema: type[Schema], fault: ErrorDetails) -> InvalidRequestError:
    kind, param = fault["type"], _joined([step for step in fault["loc"] if not _is_tag(step)])
    if kind == "json_invalid":
        return InvalidRequestError(f"The body is not valid JSON: {fault['ctx']['error']}.")
    if not param:
        return InvalidRequestError("The body must be a JSON object.")
    if kind == "missing":
        message = f"'{param}' is required."
        return InvalidRequestError(message, param=param, code="missing_required_parameter")
    if kind == "literal_error" and str(fault["input"]) in PART_TYPES:
        message = f"'{param}' '{fault['input']}' is not supported; only text parts are."
        return UnsupportedParameterError(message, param=param)
    if kind == "message_role" and isinstance(fault["input"], dict):
        param += ".role"
        message = "must be one of 'system', 'developer', 'user', 'assistant', 'tool', 'function'"
        return InvalidRequestError(f"'{param}' {message}.", param=param, code="invalid_value")
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


def _unexpected_field(schema: type[Schema], path: str) -> InvalidRequestError:
    pattern = _pattern(path)
    if pattern in NEUTRAL_VALUES:
        return UnsupportedParameterError(f"'{path}' is not supported by this server.", param=path)
    parent, _, name = pattern.rpartition(".")
    known = _known_names(schema, parent)
    if not parent:
        known = known | {name for name in NEUTRAL_VALUES if "." not in name}
    near = difflib.get_close_matches(name[:64], sorted(known), n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    shown = path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "..."
    return UnknownParameterError(f"Unknown parameter: '{shown}'.{hint}", param=shown)


def _known_names(schema: type[Schema], pattern: str) -> Set[str]:
    """Fields that an object at a place may have."""
    return names_at(schema, pattern) if pattern else schema.model_fields.keys()


def _pattern(path: str) -> str:
    """A path with its indexes left open, such as `messages[].content`."""
    return _INDEX.sub("[]", path)


def _joined(steps: Sequence[int | str]) -> str:
    """The place of a fault as a client writes it."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _is_tag(step: int | str) -> bool:
    """Whether a step of Pydantic's is the tag of a union's member, which is no part of the JSON."""
    return isinstance(step, str) and step.startswith("<")
