"""Query strings, read as strictly as bodies."""

import re
from types import NoneType
from typing import TypeVar, get_args, get_origin

import msgspec
from caravan_schemas.base import Schema
from fastapi import Request
from pydantic.fields import FieldInfo

from caravan.api.context import context_of
from caravan.api.validation.parse import parse
from caravan.errors import InvalidValueError
from caravan.web.request_body import report_ignored

Q = TypeVar("Q", bound=Schema)

_SHOWN = 80
_NUMBER = re.compile(r"-?[0-9]{1,15}")


def read_query(request: Request, schema: type[Q], *, strict: bool) -> Q:
    """Read the parameters of a request's address. Raises InvalidRequestError about the first fault."""
    known = schema.model_fields
    values: dict[str, list[str]] = {}
    objects: dict[str, dict[str, str]] = {}
    for written, value in request.query_params.multi_items():
        name, bracket, key = written.partition("[")
        if bracket and name in known and _kind(known[name]) is dict:
            members = objects.setdefault(name, {})
            if (key := key.removesuffix("]")) in members:
                raise _twice(f"{name}[{key}]"[:_SHOWN])
            members[key] = value
        else:
            values.setdefault(name if name in known else written, []).append(value)
    for name, given in values.items():
        if len(given) > 1 and name in known and _kind(known[name]) is not list:
            raise _twice(name)
    read = {name: _json(known[name], given) if name in known else given for name, given in values.items()}
    # What is written as a text and as an object is refused as a text.
    found = parse(schema, msgspec.json.encode(objects | read), strict=strict)
    return report_ignored(found, context_of(request.scope))


def _twice(param: str) -> InvalidValueError:
    return InvalidValueError(param, "stands in the address more than once")


def _kind(field: FieldInfo) -> object:
    """The type of a parameter, which may also be left out."""
    (kind,) = (member for member in get_args(field.annotation) if member is not NoneType)
    return get_origin(kind) or kind


def _json(field: FieldInfo, values: list[str]) -> object:
    """What stands in the address as JSON would have it; what cannot be that stays a text, and is refused."""
    kind, value = _kind(field), values[-1]
    if kind is list:
        return values
    if kind is bool and value in ("true", "false"):
        return value == "true"
    return int(value) if kind is int and _NUMBER.fullmatch(value) else value
