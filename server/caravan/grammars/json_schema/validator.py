"""JSON held against a plain schema, by `jsonschema`, with its numbers as they are written."""

import datetime
import functools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from caravan.grammars.json_schema.patterns import is_in

log = logging.getLogger(__name__)

# Python reads no integer of more digits, and takes the square of their number.
_MAX_DIGITS = 4_000
# Beyond these, a number is not written out to be divided.
_MAX_EXPONENT = 10_000
_MAX_SHOWN, _MAX_QUOTED = 200, 60
_UNKNOWN = "an answer is nested too deeply, has too large numbers, or takes too long, to be checked"
# Schemas can ask the same of a value again and again: of what is in it twice as often at each level.
_MAX_SECONDS = 2.0
_DEADLINE = ContextVar("deadline", default=math.inf)


class SchemaChecker:
    """Says what is wrong with JSON, given the plain form of its schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = _Validator(_decimal(schema))

    def fault(self, text: str) -> str | None:
        """Say how a text breaks the schema; None if it keeps to it or nobody can say."""
        try:
            value = _read(text)
        except ValueError as error:
            return f"it is not JSON: {error}"
        except (RecursionError, ArithmeticError):
            log.warning(_UNKNOWN)
            return None
        return self.fault_in(value)

    def fault_in(self, value: Any) -> str | None:  # noqa: ANN401 (any JSON value)
        """Say the same of a value that has been read."""
        _DEADLINE.set(time.monotonic() + _MAX_SECONDS)
        try:
            self._validator.validate(value)
        except ValidationError as error:
            return f"at {error.json_path[:100]}: {error.message[:_MAX_SHOWN]}"
        except (RecursionError, ArithmeticError, TimeoutError):
            log.warning(_UNKNOWN)
        return None


def _read(text: str) -> Any:  # noqa: ANN401 (any JSON value)
    return json.loads(text, parse_float=_fraction, parse_int=_integer, parse_constant=_refused)


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _MAX_DIGITS else Decimal(digits)


def _fraction(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        raise OverflowError(digits[:40]) from None


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _is_number(_checker: object, value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_integer(checker: object, value: Any) -> bool:  # noqa: ANN401 (any JSON value)
    if isinstance(value, Decimal):
        return bool(value == value.to_integral_value())
    return _is_number(checker, value) and isinstance(value, int)


def _multiple_of(
    _validator: object,
    step: float,
    value: Any,  # noqa: ANN401 (any JSON value)
    _schema: object,
) -> Iterator[ValidationError]:
    if not _is_number(None, value) or (isinstance(value, Decimal) and value.adjusted() > _MAX_EXPONENT):
        return
    if (Fraction(value) / Fraction(str(step))).denominator != 1:
        yield ValidationError(f"{value} is not a multiple of {step}")


def _pattern(_validator: object, pattern: str, value: object, _schema: object) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError(f"{_short(value)} does not match {_short(pattern)}")


def _format(_validator: object, name: str, value: object, _schema: object) -> Iterator[ValidationError]:
    """Days that there are; other formats say themselves what they look like, and grammars keep to that."""
    if name not in ("date", "date-time") or not isinstance(value, str):
        return
    try:
        datetime.date(int(value[:4]), int(value[5:7]), int(value[8:10]))
    except ValueError:
        yield ValidationError(f"{_short(value)} is no day of the calendar")


def _pattern_properties(
    validator: Any,  # noqa: ANN401 (jsonschema has no name for what it makes)
    schemas: dict[str, Any],
    value: object,
    _schema: object,
) -> Iterator[ValidationError]:
    for pattern, schema in schemas.items() if isinstance(value, dict) else ():
        for name, item in value.items():  # type: ignore[attr-defined]
            if _matches(pattern, name):
                yield from validator.descend(item, schema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any,  # noqa: ANN401 (jsonschema has no name for what it makes)
    rest: dict[str, Any] | bool,
    value: object,
    schema: dict[str, Any],
) -> Iterator[ValidationError]:
    if rest is True or not isinstance(value, dict):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in value.items():
        if name in declared or any(_matches(pattern, name) for pattern in patterns):
            continue
        if rest is False:
            yield ValidationError(f"{_short(name)} is no name that it may have")
        else:
            yield from validator.descend(item, rest, path=name)


def _short(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "...")


def _matches(pattern: str, text: str) -> bool:
    _check_time()
    found = is_in(pattern, text)
    if found is None:
        log.warning("an answer has text that is too large to be checked against its pattern")
    return found is not False


def _check_time() -> None:
    if time.monotonic() > _DEADLINE.get():
        raise TimeoutError


def _timed(check: Callable[..., Any]) -> Callable[..., Any]:
    """A check of a keyword that raises TimeoutError once all of them have taken too long."""

    @functools.wraps(check)
    def checked(*arguments: object) -> Any:  # noqa: ANN401 (what jsonschema wants of it)
        _check_time()
        return check(*arguments)

    return checked


# Python's regular expressions can take for ever, which no client may cause; llguidance's cannot. Numbers are
# compared as they are written: Python does so with integers, decimal numbers and fractions.
_CHECKS = {
    **Draft202012Validator.VALIDATORS,
    "format": _format,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "multipleOf": _multiple_of,
}
_Validator = extend(
    Draft202012Validator,
    {keyword: _timed(check) for keyword, check in _CHECKS.items()},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


def _decimal(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """A schema with its fractions as they are written: in binary, 0.1 is something else."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_decimal(item) for item in value]
    return {key: _decimal(item) for key, item in value.items()} if isinstance(value, dict) else value
