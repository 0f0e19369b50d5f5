"""Fields that a request's schema does not declare: which of them pass, and which are refused.

A field that nobody knows passes without effect, and the client is told. Refused are fields that ask for what
this server does not do, misspelt names, and fields of another route or of another kind of message or tool.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import get_args

from caravan_schemas.anthropic import MessagesRequest
from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.decisions import DecisionRequest
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.explanations import ExplainRequest
from caravan_schemas.llama_cpp import InfillRequest, LlamaCompletionRequest
from caravan_schemas.rank import RerankRequest, ScoreRequest
from caravan_schemas.responses import ResponseRequest
from caravan_schemas.tokenize import DetokenizeRequest

from caravan.api.validation.faults import joined
from caravan.api.validation.near_names import nearest
from caravan.api.validation.neutral_values import Rule
from caravan.api.validation.unsupported import neutral_values
from caravan.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError

# No client sends so many by mistake.
MAX_IGNORED = 64
_LONGEST_PATH = 200
_INDEX = re.compile(r"\[\d+\]")

_ROUTES: dict[str, type[Schema]] = {
    "chat completions": ChatCompletionRequest,
    "text completions": CompletionRequest,
    "responses": ResponseRequest,
    "decisions": DecisionRequest,
    "embeddings": EmbeddingRequest,
    "rerank": RerankRequest,
    "score": ScoreRequest,
    "explanations": ExplainRequest,
    "messages": MessagesRequest,
    "llama.cpp's completions": LlamaCompletionRequest,
    "infill": InfillRequest,
}
# Not those that show what a chat begins with, whatever follows: bodies of chats are theirs, too.
_APART = {*_ROUTES.values(), DetokenizeRequest}
_EMPTY: tuple[object, ...] = (None, False, "", [], {})
# Objects of fields that could stand in the request itself.
_LAID_OVER = "variants[]"
_SINGLE = ("n", "n_cmpl", "best_of")

Extra = tuple[str, object]


def extras_at(schema: type[Schema], steps: Sequence[int | str], value: object) -> Iterator[Extra]:
    """Find the undeclared fields of one object in a body that is not valid as a request."""
    path = joined(steps)
    known = names_at(schema, pattern_of(path))
    # Objects whose names are the client's own have no unknown ones.
    if isinstance(value, dict) and known:
        prefix = f"{path}." if path else ""
        yield from ((prefix + name, extra) for name, extra in value.items() if name not in known)


def judge(
    schema: type[Schema], found: Iterable[Extra], request: Schema | None = None, *, strict: bool
) -> tuple[str, ...]:
    """Return the fields that have no effect, by names without indexes; raise InvalidRequestError for others.

    With `strict`, only values pass that ask for nothing by the table. The `request` is needed to find out
    whether a field says the same as another one that is served.
    """
    ignored: dict[str, None] = {}
    rules = neutral_values(schema)
    for path, value in found:
        pattern = pattern_of(path)
        rule = rules.get(pattern)
        if rule is not None:
            if _is_reported(path, value, rule, request, strict=strict):
                ignored[pattern] = None
            continue
        if pattern in ignored:
            continue
        if strict:
            raise _unknown(schema, path)
        if _is_of_others(schema, pattern):
            if value not in _EMPTY and not (value == 1 and pattern in _SINGLE):
                raise _unknown(schema, path)
        else:
            is_much = len(ignored) == MAX_IGNORED or len(pattern) > _LONGEST_PATH
            if is_much or _slip(schema, pattern) is not None:
                raise _unknown(schema, path)
            ignored[pattern] = None
    return tuple(ignored)


def _is_reported(path: str, value: object, rule: Rule, request: Schema | None, *, strict: bool) -> bool:
    """Whether a field of the table passes only if the client is told; raises where it may not pass at all."""
    if rule(value) or any(getattr(request, name, value) == value for name in rule.same_as):
        return False
    if strict or rule.reported is None or not rule.reported(value):
        message = f"'{path}' is not supported by this server. {rule.reason}"
        raise UnsupportedParameterError(message, param=path)
    return True


def _unknown(schema: type[Schema], path: str) -> InvalidRequestError:
    pattern = pattern_of(path)
    shown = path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "..."
    routes = [route for route, other in _ROUTES.items() if pattern in other.model_fields]
    hint = ""
    if routes:
        hint = f" It is a field of {', '.join(routes[:-1])}{' and ' * (len(routes) > 1)}{routes[-1]}."
    elif near := _slip(schema, pattern):
        hint = f" Did you mean '{near}'?"
    return UnknownParameterError(f"Unknown parameter: '{shown}'.{hint}", param=shown)


def _is_of_others(schema: type[Schema], pattern: str) -> bool:
    """Whether a field means something elsewhere: on another route, or in another object of the same place."""
    parent, _, name = pattern.rpartition(".")
    if parent and parent != _LAID_OVER:
        return name in names_at(schema, parent)
    return schema in _APART and any(name in other.model_fields for other in _ROUTES.values())


def _slip(schema: type[Schema], pattern: str) -> str | None:
    """Find the field that a misspelt name means: one that is served, or else one of the table."""
    parent, _, name = pattern.rpartition(".")
    return nearest(name, names_at(schema, parent)) or nearest(name, _tabled(schema, parent))


@lru_cache
def _tabled(schema: type[Schema], parent: str) -> frozenset[str]:
    """Return the names that the table has for an object at a place."""
    paths = (path.rpartition(".") for path in neutral_values(schema))
    return frozenset(name for place, _, name in paths if place == parent)


@lru_cache(maxsize=256)
def names_at(schema: type[Schema], pattern: str) -> frozenset[str]:
    """Return the fields that an object may have at a place such as `messages[].content[]`.

    There are none where there is no object, or one whose names are the client's own. The request itself is at
    "".
    """
    kinds: set[type[Schema]] = {schema}
    for step in pattern.split(".") if pattern else ():
        name = step.removesuffix("[]")
        kinds = {
            member
            for kind in kinds
            for field_name, field in kind.model_fields.items()
            if (field.alias or field_name) == name
            for member in _members(field.annotation)
        }
    return frozenset(field.alias or name for kind in kinds for name, field in kind.model_fields.items())


def _members(annotation: object) -> Iterator[type[Schema]]:
    """Find the schemas that a type is made of, whether by a union, a list or an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Schema):
        yield annotation
    for part in get_args(annotation):
        yield from _members(part)


def pattern_of(path: str) -> str:
    """Write a path without its indexes, such as `messages[].content`."""
    return _INDEX.sub("[]", path)
