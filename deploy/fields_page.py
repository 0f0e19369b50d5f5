"""Writes `docs/fields.md`, the page about the fields of requests, from the schemas and the rules.

`python -m deploy.fields_page` writes it; a test compares it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from caravan.api.validation.neutral_values import Rule
from caravan.api.validation.unsupported import NEUTRAL_VALUES, NO_EFFECT
from caravan_schemas.anthropic import MessagesRequest
from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.completions import CompletionRequest
from caravan_schemas.decisions import DecisionRequest
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.explanations import ExplainRequest
from caravan_schemas.llama_cpp import InfillRequest, LlamaCompletionRequest
from caravan_schemas.parameters import Parameter
from caravan_schemas.rank import RerankRequest, ScoreRequest
from caravan_schemas.responses import ResponseRequest
from pydantic.fields import FieldInfo

PAGE = Path(__file__).parent.parent / "docs" / "fields.md"

ROUTES: dict[str, type[Schema]] = {
    "chat": ChatCompletionRequest,
    "completions": CompletionRequest,
    "responses": ResponseRequest,
    "embeddings": EmbeddingRequest,
    "decisions": DecisionRequest,
    "rerank": RerankRequest,
    "score": ScoreRequest,
    "explain": ExplainRequest,
    "messages": MessagesRequest,
    "completion": LlamaCompletionRequest,
    "infill": InfillRequest,
}

_INTRODUCTION = """\
# Fields of requests

<!-- Written by `python -m deploy.fields_page` from the schemas and the rules; edit those. -->

There are three kinds of known fields:

- The server acts on it.
- It passes without effect, because it has none by its own definition.
- It is refused with a 400 that names it (`unsupported_parameter`): other servers act on it, and this one does
  not.

Null is the same as not given. Decoding parameters have a page of their own, [parameters.md](parameters.md).

A field that nobody knows passes without effect, at any depth and on every route. It is reported: the header
`x-caravan-ignored: x_notes, messages[].id` lists the names, the log has each name once, and the
metric `caravan_ignored_fields_total` counts them. Two kinds of unknown fields are a 400 with the code
`unknown_parameter`, which says what was probably meant: a name one or two letters away from a known one, and
a field of another route or of another kind of message. `--strict-fields` refuses all unknown fields.

Some tools are run by other services themselves (`web_search`, `file_search`, `code_interpreter`, `mcp` and
others). Where they are merely offered, they are left out and reported in the same way, and so is what
`include` says about their calls. A `tool_choice` that wants one called is refused.

## Acted on
"""

_PASSING = """\
## Without effect

These pass on the routes that do not act on them. Here and below, routes other than responses and messages
have the rules of chats.
"""

_REFUSED = """\
## Refused

These are refused with any value but those that ask for nothing:
"""


def page() -> str:
    """The whole page."""
    rules = {name: rule for table in NEUTRAL_VALUES.values() for name, rule in table.items()}
    refused = {name: rule for name, rule in rules.items() if name not in NO_EFFECT}
    return "\n".join(
        [_INTRODUCTION, *_served(), "", _PASSING, *_rules(NO_EFFECT), "", _REFUSED, *_rules(refused), ""]
    )


def _served() -> Iterator[str]:
    yield "| field | routes | values | meaning |"
    yield "| --- | --- | --- | --- |"
    names = dict.fromkeys(name for schema in ROUTES.values() for name in schema.model_fields)
    for name in names:
        holders = {route: schema for route, schema in ROUTES.items() if name in schema.model_fields}
        fields = [schema.model_fields[name] for schema in holders.values()]
        if any(isinstance(constraint, Parameter) for field in fields for constraint in field.metadata):
            continue
        told = next((field.description for field in fields if field.description), "")
        yield f"| `{fields[0].alias or name}` | {', '.join(holders)} | {_values(fields[0])} | {told} |"


def _values(field: FieldInfo) -> str:
    """What a field takes besides null, with the bounds of numbers and lengths."""
    kinds = " or ".join(dict.fromkeys(_kinds(field.annotation)))
    low = high = longest = None
    for constraint in field.metadata:
        low, high = getattr(constraint, "ge", low), getattr(constraint, "le", high)
        longest = getattr(constraint, "max_length", longest)
    if low is not None:
        return f"{low} or more" if high == MAX_COUNT else f"{low} to {high}"
    return kinds if longest is None else f"{kinds}, up to {longest}"


def _kinds(annotation: object) -> Iterator[str]:
    """What a type is in JSON."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _kinds(parts[0])
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _kinds(part)
    elif origin is Literal:
        yield ", ".join(f"`{value}`" for value in parts)
    elif annotation is not NoneType:
        names = {bool: "true, false", int: "integer", float: "number", str: "text", list: "array"}
        yield names.get(origin or annotation, "object")  # type: ignore[arg-type]


def _rules(rules: Mapping[str, Rule]) -> Iterator[str]:
    yield "| field | routes | passes | reason |"
    yield "| --- | --- | --- | --- |"
    for name, rule in rules.items():
        places = ", ".join(protocol for protocol, table in NEUTRAL_VALUES.items() if name in table)
        reported = f"; reported: {rule.reported.words}" if rule.reported else ""
        same = f", or what `{rule.same_as[0]}` says" if rule.same_as else ""
        yield f"| `{name}` | {places} | {rule.passing.words or 'null'}{same}{reported} | {rule.reason} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
