"""Numbers as clients write them, where they are compared exactly: in schemas, and in answers to them."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from caravan_schemas.base import Schema

# What may be a number that a double does not hold: after what stands before one, an exponent or many digits.
_SUSPECT = re.compile(rb"[:\[,]\s*-?(?:\d[\d.]*[eE]|\d[\d.]{15})")
# Python reads no integer of more digits, and takes the square of their number.
_MAX_DIGITS = 4_000


class Rounded(float):
    """The double next to a number of which JSON has more digits."""


def read(text: str) -> Any:  # noqa: ANN401 (any JSON value)
    """The value of a JSON text, with such numbers marked; raises ValueError."""
    return json.loads(text, parse_float=_marked, parse_constant=_refused)


def mark_rounded(request: Schema, body: bytes) -> None:
    """Mark such numbers in all that a request's body has of free form, schemas above all."""
    if _SUSPECT.search(body):
        _mark(request, json.loads(body, parse_float=_marked))


def exact(text: str) -> Any:  # noqa: ANN401 (any JSON value)
    """The value of a JSON text, every number as it is written; raises ValueError.

    Also where an object has a name twice, of which readers see the last alone.
    """
    return json.loads(
        text,
        parse_float=_decimal,
        parse_int=_integer,
        parse_constant=_refused,
        object_pairs_hook=_unique,
    )


def _marked(digits: str) -> float:
    value = float(digits)
    try:
        is_same = Decimal(repr(value)) == Decimal(digits)
    except InvalidOperation:
        is_same = False
    return value if is_same else Rounded(value)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _MAX_DIGITS else Decimal(digits)


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        raise OverflowError(digits[:40]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {json.dumps(twice[:100])} twice")
    return found


def _mark(value: object, document: object) -> None:
    """Put marked numbers where a value, as far as it is of free form, has plain ones."""
    if isinstance(value, Schema) and isinstance(document, dict):
        for name, field in type(value).model_fields.items():
            key = field.alias or name
            if key in document:
                _mark(getattr(value, name), document[key])
    elif isinstance(value, list) and isinstance(document, list):
        for place, written in enumerate(document[: len(value)]):
            value[place] = _with_marks(value[place], written)
    elif isinstance(value, dict) and isinstance(document, dict):
        for key in value.keys() & document.keys():
            value[key] = _with_marks(value[key], document[key])


def _with_marks(value: object, written: object) -> object:
    if type(value) is float and isinstance(written, Rounded):
        return written
    _mark(value, written)
    return value
