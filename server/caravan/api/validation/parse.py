"""JSON bodies into request models; what Pydantic finds becomes one error that names the field.

The bytes go to Pydantic's own JSON reader, which refuses deep nesting and numbers of thousands of digits by
itself. Lone surrogates, which it refuses as well, are replaced.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from caravan_schemas.anthropic import MessagesConversation
from caravan_schemas.base import Schema
from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.chat import ToolFields
from caravan_schemas.responses import ABSENT, ResponseRequest
from caravan_schemas.responses_input import ConversationInput
from caravan_schemas.responses_items import AdditionalTools
from caravan_schemas.responses_tools import FlatAllowedTools
from caravan_schemas.tools import AllowedToolsChoice
from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from caravan.api.validation import surrogates
from caravan.api.validation.extra_fields import Extra, extras_at, judge, pattern_of
from caravan.api.validation.faults import steps_of, translated
from caravan.errors import UnsupportedParameterError

S = TypeVar("S", bound=Schema)


@dataclass(frozen=True)
class Parsed(Generic[S]):
    """A request, the fields of its body that have no effect, and the places of halves of characters.

    Such halves were replaced.
    """

    request: S
    ignored: tuple[str, ...]
    replaced: tuple[str, ...] = ()


def parse(schema: type[S], body: bytes, *, strict: bool) -> Parsed[S]:
    """Read the request in `body`; raises InvalidRequestError about its first fault.

    Unsupported fields pass with values that ask for nothing. Unless it is `strict`, fields that nobody knows
    pass, too, and so do tools that only others have, if they are merely offered.
    """
    try:
        # Collecting unknown fields is cheap; having Pydantic forbid them costs an error object for each.
        request = schema.model_validate_json(body, extra="allow")
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        if fault["type"] == "json_invalid":
            mended = surrogates.replaced(body)
            if mended is not None:
                found = parse(schema, mended, strict=strict)
                return dataclasses.replace(found, replaced=surrogates.places(body))
        else:
            # A misspelt field is also a missing one, and the misspelling says more.
            judge(schema, _extras_around(schema, body, fault), strict=strict)
        raise translated(schema, fault) from error
    offered = _left_out_tools(request, strict=strict)
    undeclared = list(_extras(request))
    ignored = judge(schema, undeclared, request, strict=strict) if undeclared else ()
    return Parsed(request, ignored + offered)


def _extras_around(schema: type[Schema], body: bytes, fault: ErrorDetails) -> Iterator[Extra]:
    """Find undeclared fields of a body that is at fault: beside the fault, and at the top."""
    document = from_json(body)
    steps = steps_of(fault)
    parent = document
    for step in steps[:-1]:
        parent = parent[step]
    yield from extras_at(schema, steps[:-1], parent)
    yield from extras_at(schema, (), document)


def _extras(value: Schema, path: str = "") -> Iterator[Extra]:
    """Take the undeclared fields out of a request and of all objects in it; yields their paths and values."""
    prefix = f"{path}." if path else ""
    if isinstance(value, BuiltInTool):
        return
    if value.model_extra:
        for name, extra in value.model_extra.items():
            yield prefix + name, extra
        value.model_extra.clear()
    for name in type(value).model_fields:
        member = getattr(value, name)
        if isinstance(member, Schema):
            yield from _extras(member, prefix + name)
        elif isinstance(member, list):
            for index, item in enumerate(member):
                # Some lists have texts and objects.
                if isinstance(item, Schema):
                    yield from _extras(item, f"{prefix}{name}[{index}]")


def _left_out_tools(request: Schema, *, strict: bool) -> tuple[str, ...]:
    """Name the tools of a request that other services run themselves, such as `tools[].web_search`.

    They are left out of it. If it is `strict`, raises UnsupportedParameterError for the first.
    """
    names: dict[str, None] = {}
    for place, index, kind in _built_in_tools(request):
        if strict:
            path = f"{place}[{index}]"
            message = f"'{path}' has the type '{kind}', which is not supported"
            raise UnsupportedParameterError(f"{message}; only what this server has is.", param=path)
        names[f"{pattern_of(place)}[].{kind}"] = None
    return tuple(names)


def _built_in_tools(request: Schema) -> Iterator[tuple[str, int, str]]:
    """Yield each such tool by its list, its index there and its type."""
    if not isinstance(request, ToolFields | ConversationInput | MessagesConversation):
        return
    lists: dict[str, Sequence[object]] = {"tools": request.tools or []}
    choice = request.tool_choice
    if isinstance(choice, AllowedToolsChoice):
        lists["tool_choice.allowed_tools.tools"] = choice.allowed_tools.tools
    if isinstance(choice, FlatAllowedTools):
        lists["tool_choice.tools"] = choice.tools
    if isinstance(request, ConversationInput) and isinstance(request.input, list):
        added = ((i, item) for i, item in enumerate(request.input) if isinstance(item, AdditionalTools))
        lists |= {f"input[{i}].tools": item.tools for i, item in added}
    for place, tools in lists.items():
        yield from ((place, i, tool.type) for i, tool in enumerate(tools) if isinstance(tool, BuiltInTool))
    if isinstance(request, ResponseRequest):
        yield from (("include", i, name) for i, name in enumerate(request.include or ()) if name in ABSENT)
