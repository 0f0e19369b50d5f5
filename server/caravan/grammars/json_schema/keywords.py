"""JSON Schema's keywords, from draft 04 to 2020-12: what each may hold, and which are enforced."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Check = Callable[[Any], str | None]

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# Those that are enforced; others are annotations, as any format is by the standard.
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
NOT_ENFORCED = "is not supported: it would not be enforced"

_TOO_FINE = "has more digits than can be kept exactly"
# llguidance keeps numbers as doubles, integers with 64 bits, and the digits of steps with 32. Its bounds are
# exact up to where not every integer is a double any more.
_MAX_INTEGER = 2**63 - 1
_MAX_BOUND = 2**53 - 1
_MAX_STEP = 2**32
_MAX_NEIGHBOURS = 4


def _anything(_value: object) -> None:
    return None


def _is(kind: type, words: str) -> Check:
    return lambda value: None if isinstance(value, kind) else f"must be {words}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> str | None:  # noqa: ANN401 (any JSON value)
    return _value(value) if _is_number(value) else "must be a number"


def _least(value: Any) -> str | None:  # noqa: ANN401 (any JSON value)
    """A lower bound, which may leave out nothing beyond `_MAX_BOUND`."""
    if not _is_number(value):
        return "must be a number"
    return None if -math.inf < value <= _MAX_BOUND else _TOO_FINE


def _most(value: Any) -> str | None:  # noqa: ANN401 (any JSON value)
    return _least(-value if _is_number(value) else value)


def _or_flag(check: Check) -> Check:
    """Draft 04 has booleans where later ones have numbers."""
    return lambda value: None if isinstance(value, bool) else check(value)


def is_far(keyword: str, value: Any) -> bool:  # noqa: ANN401 (what a keyword holds)
    """Tell whether a keyword bounds numbers where llguidance would round."""
    return keyword in _BOUNDS and abs(value) > _MAX_BOUND


def inner_bound(value: float) -> int | None:
    """Find the last integer within a far bound that llguidance keeps; None if 64 bits are far from it."""
    if abs(value) > 2 * _MAX_INTEGER + 1:
        return None
    inner = int(math.nextafter(float(min(abs(value), _MAX_INTEGER)), 0))
    return inner if value > 0 else -inner


def _step(value: Any) -> str | None:  # noqa: ANN401 (a number, once `_number` has looked at it)
    fault = _number(value) or (None if value > 0 else "must be above 0")
    if fault is not None:
        return fault
    return None if kept_step(value) is not None else "has more digits than can be enforced"


def kept_step(value: float) -> float | None:
    """Find the number, or a double beside it, that llguidance reads as exactly this step between multiples.

    None where there is none: it counts digits behind the point by multiplying by ten.
    """
    if not 0 < value < _MAX_STEP:
        return None
    wanted = Decimal(repr(value))
    least = greatest = float(value)
    tried = [value]
    for _ in range(_MAX_NEIGHBOURS):
        least, greatest = math.nextafter(least, 0), math.nextafter(greatest, math.inf)
        tried += [least, greatest]
    for number in tried:
        digits, scale = float(number), 0
        while digits % 1 and digits < _MAX_STEP:
            digits, scale = digits * 10, scale + 1
        if digits < _MAX_STEP and Decimal(int(digits)).scaleb(-scale) == wanted:
            return number
    return None


def _count(value: object) -> str | None:
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value < 2**31
        and value % 1 == 0
    ):
        return None
    return "must be a whole number from 0 to 2147483647"


def _type(value: object) -> str | None:
    names = value if isinstance(value, list) else [value]
    if names and all(isinstance(name, str) and name in TYPES for name in names):
        return None
    return f"must be one of {', '.join(TYPES)}, or an array of these"


def _value(value: Any) -> str | None:  # noqa: ANN401 (any JSON value)
    """What is compared with answers has to be what the client wrote."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next((fault for item in inner if (fault := _value(item)) is not None), None)
    if not _is_number(value):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else _TOO_FINE
    return None if abs(value) <= _MAX_INTEGER and float(value) == value else _TOO_FINE


def _values(value: object) -> str | None:
    if isinstance(value, list) and value:
        return _value(value)
    return "must be an array with at least one value"


def _schemas(value: object) -> str | None:
    return None if isinstance(value, list) and value else "must be an array with at least one schema"


def _names(value: object) -> str | None:
    ok = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return None if ok else "must be an array of strings"


_SCHEMA = _is(dict | bool, "a schema: an object or a boolean")  # type: ignore[arg-type]
_ITEMS = _is(dict | bool | list, "a schema: an object or a boolean")  # type: ignore[arg-type]
_MAP = _is(dict, "an object whose values are schemas")
_LIST = _is(list, "an array of schemas")
_TEXT = _is(str, "a string")

CHECKS: dict[str, Check] = {
    "type": _type,
    "enum": _values,
    "const": _value,
    "$ref": _TEXT,
    "$recursiveRef": _TEXT,
    "$dynamicRef": _TEXT,
    "$defs": _MAP,
    "definitions": _MAP,
    "anyOf": _schemas,
    "oneOf": _schemas,
    "allOf": _LIST,
    "not": _SCHEMA,
    "if": _SCHEMA,
    "then": _SCHEMA,
    "else": _SCHEMA,
    "properties": _MAP,
    "patternProperties": _MAP,
    "additionalProperties": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "dependentSchemas": _MAP,
    "dependentRequired": _is(dict, "an object whose values are arrays of strings"),
    "dependencies": _is(dict, "an object whose values are schemas or arrays of strings"),
    "required": _names,
    "minProperties": _count,
    "maxProperties": _count,
    "items": _ITEMS,
    "prefixItems": _LIST,
    "additionalItems": _SCHEMA,
    "unevaluatedItems": _SCHEMA,
    "contains": _SCHEMA,
    "minContains": _count,
    "maxContains": _count,
    "minItems": _count,
    "maxItems": _count,
    "uniqueItems": _is(bool, "a boolean"),
    "minLength": _count,
    "maxLength": _count,
    "pattern": _TEXT,
    "format": _anything,
    "minimum": _least,
    "maximum": _most,
    "exclusiveMinimum": _or_flag(_least),
    "exclusiveMaximum": _or_flag(_most),
    "multipleOf": _step,
}

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

# They say nothing about which JSON is valid.
ANNOTATIONS = frozenset(
    (
        *("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "$comment"),
        *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"),
        *("contentEncoding", "contentMediaType", "contentSchema", "discriminator", "xml", "externalDocs"),
    )
)


def is_annotation(keyword: str) -> bool:
    """Tell whether a keyword is known to say nothing about which JSON is valid."""
    return keyword in ANNOTATIONS or keyword.startswith("x-")
