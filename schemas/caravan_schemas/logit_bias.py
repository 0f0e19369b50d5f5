"""The forms in which clients send `logit_bias`, read into one."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

MAX_ENTRIES = 16_384
MAX_TEXT_LENGTH = 1000
LIMIT = 100
_MAX_DIGITS = 10

# A token id or a text, and what is added to it; false bans.
Bias = tuple[int | str, float | Literal[False]]


def read(value: object) -> tuple[Bias, ...] | None:
    """Pairs from an object of ids or texts, or from an array of pairs; raises on the first fault."""
    if value is None:
        return None
    if isinstance(value, dict):
        _check_count(value)
        return tuple(_pair(_key(key), bias) for key, bias in value.items())
    if isinstance(value, list | tuple):
        _check_count(value)
        return tuple(_listed(value))
    raise PydanticCustomError("logit_bias_kind", "must be an object or an array of pairs")


def _listed(items: Iterable[object]) -> Iterable[Bias]:
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2:
            raise PydanticCustomError("logit_bias", "must have pairs of a token or text and its bias")
        token, bias = item
        if isinstance(token, bool) or not isinstance(token, int | str):
            raise PydanticCustomError("logit_bias", "must have a token id or a text first in each pair")
        yield _pair(token, bias)


def _key(key: str) -> int | str:
    """JSON has only text as keys; one that is a whole number is a token id, as OpenAI's are."""
    digits = key.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return key
    if len(digits) > _MAX_DIGITS:
        raise PydanticCustomError("logit_bias", f"must have token ids of at most {_MAX_DIGITS} digits")
    return int(key)


def _pair(token: int | str, bias: object) -> Bias:
    if token == "" or (isinstance(token, str) and len(token) > MAX_TEXT_LENGTH):
        raise PydanticCustomError("logit_bias", f"must have texts of 1 to {MAX_TEXT_LENGTH} characters")
    if bias is False:
        return token, False
    if isinstance(bias, bool) or not isinstance(bias, int | float) or not -LIMIT <= bias <= LIMIT:
        raise PydanticCustomError("logit_bias", f"must have biases from -{LIMIT} to {LIMIT}, or false")
    return token, float(bias)


def _check_count(entries: object) -> None:
    if isinstance(entries, dict | list | tuple) and len(entries) > MAX_ENTRIES:
        raise PydanticCustomError("logit_bias", f"must have at most {MAX_ENTRIES} entries")


_Value = Annotated[float, Field(ge=-LIMIT, le=LIMIT)] | Literal[False]
LogitBias = Annotated[
    tuple[Bias, ...] | None,
    PlainValidator(read, json_schema_input_type=dict[str, _Value] | list[tuple[int | str, _Value]] | None),
]
