"""The one constraint that a request names, out of all the fields that may name one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from caravan_schemas.structured import ConstraintFields, JsonObjectFormat, JsonSchemaFormat
from pydantic_core import from_json, to_json

from caravan.errors import InvalidRequestError


class Kind(Enum):
    """What a constraint is written in."""

    SCHEMA = "schema"
    STRICT_SCHEMA = "strict schema"
    REGEX = "regular expression"
    CHOICE = "choice"
    LARK = "Lark grammar"
    GBNF = "GBNF grammar"


Source = dict[str, Any] | str | list[str]

# How each rule of GBNF begins, and no line of Lark outside of what is quoted there.
_GBNF_RULE = re.compile(r"^[ \t]*[A-Za-z0-9-]+[ \t]*::=", re.MULTILINE)

# Of a schema that comes as a text; white space makes it longer than what is compiled.
_MAX_TEXT = 524_288

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


@dataclass(frozen=True)
class Wanted:
    """A constraint as it came, with the path of the field that holds it."""

    param: str
    kind: Kind
    source: Source


def wanted(fields: ConstraintFields) -> Wanted | None:
    """Find the request's constraint, None where there is none; two are refused unless they are equal.

    Clients that do not know their server write the same one under several names.
    """
    found = list(_all(fields))
    for other in found[1:]:
        if not _are_equal(found[0], other):
            first, second = found[0].param, other.param
            raise InvalidRequestError(
                f"A request can have one constraint, and this one has '{first}' and '{second}'.",
                param=second,
                code="invalid_value",
            )
    return found[0] if found else None


def _are_equal(first: Wanted, other: Wanted) -> bool:
    """Whether two ask for the same. Only OpenAI's field can be strict, and it comes first."""
    is_kind = other.kind is (Kind.SCHEMA if first.kind is Kind.STRICT_SCHEMA else first.kind)
    # Python takes true for 1, and the order of properties counts.
    return is_kind and to_json(first.source) == to_json(other.source)


def _all(fields: ConstraintFields) -> Iterator[Wanted]:
    match fields.response_format:
        case JsonObjectFormat(schema_=schema):
            name = "response_format" if schema is None else "response_format.schema"
            yield Wanted(name, Kind.SCHEMA, _ANY_OBJECT if schema is None else schema)
        case JsonSchemaFormat(json_schema=named):
            kind = Kind.STRICT_SCHEMA if named.strict else Kind.SCHEMA
            yield Wanted("response_format.json_schema.schema", kind, named.schema_)
    outputs = fields.structured_outputs
    if outputs is not None:
        yield from _schema("structured_outputs.json", outputs.json_)
        yield from _other("structured_outputs.regex", Kind.REGEX, outputs.regex)
        yield from _other("structured_outputs.choice", Kind.CHOICE, outputs.choice)
        yield from _grammar("structured_outputs.grammar", outputs.grammar)
        if outputs.json_object:
            yield Wanted("structured_outputs.json_object", Kind.SCHEMA, _ANY_OBJECT)
    yield from _schema("json_schema", fields.json_schema)
    yield from _other("grammar", Kind.GBNF, fields.grammar or None)
    yield from _grammar("ebnf", fields.ebnf or None)
    yield from _other("regex", Kind.REGEX, fields.regex or None)
    yield from _schema("guided_json", fields.guided_json)
    yield from _other("guided_regex", Kind.REGEX, fields.guided_regex)
    yield from _other("guided_choice", Kind.CHOICE, fields.guided_choice)
    yield from _grammar("guided_grammar", fields.guided_grammar)


def _schema(param: str, source: dict[str, Any] | str | None) -> Iterator[Wanted]:
    if isinstance(source, str):
        if len(source) > _MAX_TEXT:
            message = f"'{param}' has more than {_MAX_TEXT} characters."
            raise InvalidRequestError(message, param=param, code="invalid_constraint")
        try:
            source = from_json(source, allow_inf_nan=False)
        except ValueError as error:
            message = f"'{param}' is not valid JSON: {error}."
            raise InvalidRequestError(message, param=param, code="invalid_value") from error
        if not isinstance(source, dict):
            raise InvalidRequestError(f"'{param}' must hold a JSON object.", param=param, code="invalid_type")
    if source is not None:
        yield Wanted(param, Kind.SCHEMA, source)


def _other(param: str, kind: Kind, source: str | list[str] | None) -> Iterator[Wanted]:
    if source is not None:
        yield Wanted(param, kind, source)


def _grammar(param: str, source: str | None) -> Iterator[Wanted]:
    """A grammar in either notation."""
    if source is not None:
        yield Wanted(param, Kind.GBNF if _GBNF_RULE.search(source) else Kind.LARK, source)
