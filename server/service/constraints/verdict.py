"""Finished answers held against their constraint, by other code than that which enforced it."""

import logging
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from server.service.constraints.exact_numbers import exact
from server.service.constraints.plain import schemas_of
from server.service.constraints.request import Kind, Wanted

log = logging.getLogger(__name__)

# Beyond these, a number is not written out to be divided.
_MAX_EXPONENT = 10_000


def _unchecked(*_arguments: object) -> None:
    return None


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


# Python's regular expressions can take for ever, which no client may cause; Rust's cannot. Numbers are
# compared as they are written: Python does so with integers, decimal numbers and fractions.
_Validator = extend(
    Draft202012Validator,
    {"pattern": _unchecked, "multipleOf": _multiple_of},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)


class Verdict:
    """Says what is wrong with a whole answer, given the plain form of its schema if it has one.

    Lark, regular expressions and patterns are not looked at.
    """

    def __init__(self, request: Wanted, schema: dict[str, Any] | None = None) -> None:
        self._choices = set(request.source) if request.kind is Kind.CHOICE else None
        self._validator = None
        self._is_json = schema is not None
        # Names of properties are matched against patterns, which cannot be left out singly.
        if schema is not None and not any("patternProperties" in inner for inner in schemas_of(schema)):
            self._validator = _Validator(_decimal(schema))

    def fault(self, text: str) -> str | None:
        """How a finished answer breaks its constraint, None if it keeps to it or nobody can say."""
        if self._choices is not None:
            return None if text in self._choices else "it is none of the choices"
        if not self._is_json:
            return None
        try:
            value = exact(text)
            if self._validator is not None:
                self._validator.validate(value)
        except ValidationError as error:
            return f"at {error.json_path[:100]}: {error.message[:200]}"
        except ValueError as error:
            return f"it is not JSON: {error}"
        except (RecursionError, ArithmeticError):
            log.warning("an answer is nested too deeply, or has too large numbers, to be checked")
        return None


def _decimal(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """A schema with its fractions as they are written: in binary, 0.1 is something else."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_decimal(item) for item in value]
    return {key: _decimal(item) for key, item in value.items()} if isinstance(value, dict) else value
