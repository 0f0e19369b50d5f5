"""JSON Schema's keywords as this server enforces them: what each may hold, and where schemas are in it."""

import math
from collections.abc import Callable, Iterator
from typing import Any

Check = Callable[[Any], str | None]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
)


def _anything(_value: object) -> None:
    return None


def _is(kind: type, words: str) -> Check:
    return lambda value: None if isinstance(value, kind) else f"must be {words}"


def _number(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return None if math.isfinite(value) else "must be a finite number"


def _positive(value: Any) -> str | None:  # noqa: ANN401 (a number, once `_number` has looked at it)
    return _number(value) or (None if value > 0 else "must be above 0")


def _count(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return None
    return "must be a whole number from 0 to 2147483647"


def _type(value: object) -> str | None:
    names = value if isinstance(value, list) else [value]
    if names and all(isinstance(name, str) and name in TYPES for name in names):
        return None
    return f"must be one of {', '.join(TYPES)}, or an array of these"


def _format(value: object) -> str | None:
    return None if value in FORMATS else f"must be one of {', '.join(FORMATS)}"


def _values(value: object) -> str | None:
    return None if isinstance(value, list) and value else "must be an array with at least one value"


def _names(value: object) -> str | None:
    ok = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return None if ok else "must be an array of strings"


def _reference(value: object) -> str | None:
    ok = isinstance(value, str) and (value == "#" or value.startswith("#/"))
    return None if ok else "must point into this schema, as '#/$defs/name' does"


def _only(*neutral: object) -> Check:
    """For keywords that are not enforced, with the values that ask for nothing."""
    return lambda value: (
        None if any(value is n for n in neutral) else "is not supported: it would not be enforced"
    )


_SCHEMA = _is(dict | bool, "a schema: an object or a boolean")  # type: ignore[arg-type]
_SCHEMAS = _is(dict, "an object whose values are schemas")

CHECKS: dict[str, Check] = {
    "type": _type,
    "enum": _values,
    "const": _anything,
    "$ref": _reference,
    "$defs": _SCHEMAS,
    "definitions": _SCHEMAS,
    "anyOf": _values,
    "oneOf": _values,
    "allOf": _values,
    "properties": _SCHEMAS,
    "patternProperties": _SCHEMAS,
    "additionalProperties": _SCHEMA,
    "required": _names,
    "minProperties": _count,
    "maxProperties": _count,
    "items": _SCHEMA,
    "prefixItems": _values,
    "minItems": _count,
    "maxItems": _count,
    "minLength": _count,
    "maxLength": _count,
    "pattern": _is(str, "a string"),
    "format": _format,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _number,
    "exclusiveMaximum": _number,
    "multipleOf": _positive,
    "uniqueItems": _only(False),
    "nullable": _only(False),
    "unevaluatedProperties": _only(True),
    "unevaluatedItems": _only(True),
} | dict.fromkeys(
    # They say nothing about which JSON is valid.
    (
        "$schema",
        "$id",
        "$anchor",
        "$comment",
        "title",
        "description",
        "default",
        "example",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentEncoding",
        "contentMediaType",
        "discriminator",
    ),
    _anything,
)

_MAPS = ("$defs", "definitions", "properties", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("additionalProperties", "items")


def check_of(keyword: str) -> Check:
    """What a keyword may hold; nothing for one that is unknown here, so that a misspelt one is noticed."""
    if keyword.startswith("x-") and keyword != "x-guidance":
        return _anything
    return CHECKS.get(keyword, _only())


def subschemas(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The schemas directly inside a schema whose keywords hold what they may, each with its path."""
    for keyword, value in schema.items():
        if keyword in _MAPS:
            yield from (((keyword, name), inner) for name, inner in value.items())
        elif keyword in _LISTS:
            yield from (((keyword, str(index)), inner) for index, inner in enumerate(value))
        elif keyword in _SINGLE:
            yield (keyword,), value
