"""Tools that others run on their own machines: offered, they are left out; called for, they are refused."""

from collections.abc import Iterator, Sequence

from caravan_schemas.base import Schema
from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.chat import ToolFields
from caravan_schemas.responses import ABSENT, ResponseRequest
from caravan_schemas.responses_tools import FlatAllowedTools
from caravan_schemas.tools import AllowedToolsChoice

from caravan.errors import UnsupportedParameterError


def left_out(request: Schema, *, strict: bool) -> tuple[str, ...]:
    """What of a request is about such tools and without effect, by names such as `tools[].web_search`.

    Raises UnsupportedParameterError for the first if it is `strict`.
    """
    names: dict[str, None] = {}
    for place, index, kind in _mentions(request):
        if strict:
            path = f"{place}[{index}]"
            message = f"'{path}' has the type '{kind}', which is not supported"
            raise UnsupportedParameterError(f"{message}; only what this server has is.", param=path)
        names[f"{place}[].{kind}"] = None
    return tuple(names)


def _mentions(request: Schema) -> Iterator[tuple[str, int, str]]:
    """Each by its list, its place there and its kind."""
    if not isinstance(request, ToolFields | ResponseRequest):
        return
    yield from _built_in("tools", request.tools or [])
    choice = request.tool_choice
    if isinstance(choice, AllowedToolsChoice):
        yield from _built_in("tool_choice.allowed_tools.tools", choice.allowed_tools.tools)
    if isinstance(choice, FlatAllowedTools):
        yield from _built_in("tool_choice.tools", choice.tools)
    if isinstance(request, ResponseRequest):
        yield from (("include", i, name) for i, name in enumerate(request.include or ()) if name in ABSENT)


def _built_in(place: str, tools: Sequence[object]) -> Iterator[tuple[str, int, str]]:
    yield from ((place, i, tool.type) for i, tool in enumerate(tools) if isinstance(tool, BuiltInTool))
