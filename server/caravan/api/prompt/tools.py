"""The tools that a request offers and the choice that it leaves, and how a model writes calls of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.chat import ToolFields
from caravan_schemas.tools import (
    AllowedToolsChoice,
    CustomChoice,
    CustomDefinition,
    FunctionChoice,
    FunctionDefinition,
    FunctionTool,
    GrammarInput,
    MovedTool,
    ToolReference,
)
from pydantic_core import to_json

from caravan.chat.tool_formats.tool_spec import ToolSpec, custom_tool
from caravan.engine.params import AnswerLayout
from caravan.errors import InvalidValueError
from caravan.models.loaded_model import LoadedModel

_NO_TOOLS = "asks for a call, and of the tools that are offered this server has none"
_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Choice(Enum):
    """Who decides whether a tool is called."""

    AUTO = "auto"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A tool of a request. `path` is its place in the request, for errors."""

    path: str
    spec: ToolSpec
    description: str | None
    is_custom: bool = False
    is_listed: bool = True
    is_callable: bool = True

    @property
    def name(self) -> str:
        """What the model calls it by."""
        return self.spec.name

    def shown(self) -> dict[str, object]:
        """Write the tool as chat templates read it: a function, as OpenAI writes one."""
        function: dict[str, object] = {"name": self.name}
        if self.description is not None:
            function["description"] = self.description
        function["parameters"] = self.spec.parameters
        return {"type": "function", "function": function}


@dataclass(frozen=True, kw_only=True)
class ToolRequest:
    """The model sees the tools that are `offered` and may call those that are `callable`.

    `is_legacy` asks for the older form of calls. `param` is the field that offers them.
    """

    param: str
    offered: Sequence[OfferedTool]
    callable: Sequence[OfferedTool]
    choice: Choice
    is_parallel: bool
    is_legacy: bool

    @property
    def custom_names(self) -> frozenset[str]:
        """The tools whose calls have an input instead of arguments."""
        return frozenset(tool.name for tool in self.callable if tool.is_custom)


def tool_request(fields: ToolFields) -> ToolRequest | None:
    """Read what a request says of tools; None where there are none, or none may be called.

    Raises InvalidRequestError.
    """
    if fields.tools and fields.functions:
        raise InvalidValueError("functions", "and 'tools' do not go together: the first is the older form")
    if fields.functions:
        return _legacy(fields, fields.functions)
    if isinstance(fields.function_call, ToolReference):
        raise InvalidValueError("function_call", "is only allowed with 'functions'")
    tools = _unique(
        _placed(_function(f"tools[{i}].function", tool.function), tool)
        if isinstance(tool, FunctionTool)
        else _custom(f"tools[{i}].custom", tool.custom)
        for i, tool in enumerate(fields.tools or ())
        if not isinstance(tool, BuiltInTool)
    )
    may_call = [tool for tool in tools if tool.is_callable]
    if not may_call:
        if fields.tool_choice not in (None, "none", "auto"):
            raise InvalidValueError(
                "tool_choice", _NO_TOOLS if fields.tools else "is only allowed with 'tools'"
            )
        return None
    request = ToolRequest(
        param="tools",
        offered=[tool for tool in tools if tool.is_listed],
        callable=may_call,
        choice=Choice.AUTO,
        is_parallel=fields.parallel_tool_calls is not False,
        is_legacy=False,
    )
    return _chosen(request, fields)


def definitions(tools: Sequence[FunctionDefinition]) -> str:
    """Write tools as text, for a place in the midst of a conversation.

    Claude Code's own search for tools promises the model this form.
    """
    lines = [f"<function>{to_json(_told(tool)).decode()}</function>" for tool in tools]
    return "\n".join(["<functions>", *lines, "</functions>"])


def _told(tool: FunctionDefinition) -> dict[str, object]:
    told = {"description": tool.description, "name": tool.name, "parameters": tool.parameters}
    return {name: value for name, value in told.items() if value is not None}


def layout(model: LoadedModel, tools: ToolRequest | None) -> AnswerLayout:
    """Describe for the engine where an answer's text is not content."""
    family = model.family
    if tools is None:
        return AnswerLayout(frames=family.frames)
    specs = [tool.spec for tool in tools.callable]
    return AnswerLayout(
        frames=family.frames,
        calls=family.tools.announcements(specs),
        begins=family.tools.beginning(specs),
        is_all_calls=tools.choice is not Choice.AUTO,
    )


def _chosen(request: ToolRequest, fields: ToolFields) -> ToolRequest | None:
    match fields.tool_choice:
        case "none":
            return None
        case "required":
            return replace(request, choice=Choice.REQUIRED)
        case FunctionChoice() | CustomChoice() as named:
            only = [_find(request.callable, named, "tool_choice")]
            return replace(request, callable=only, choice=Choice.NAMED, is_parallel=False)
        case AllowedToolsChoice(allowed_tools=allowed):
            path = "tool_choice.allowed_tools.tools"
            found = {
                tool.name: tool
                for i, named in enumerate(allowed.tools)
                if not isinstance(named, BuiltInTool)
                for tool in [_find(request.callable, named, f"{path}[{i}]")]
            }
            if not found:
                raise InvalidValueError(path, "names only tools that this server does not have")
            choice = Choice.REQUIRED if allowed.mode == "required" else Choice.AUTO
            return replace(request, callable=list(found.values()), choice=choice)
    return request


def _legacy(fields: ToolFields, functions: Sequence[FunctionDefinition]) -> ToolRequest | None:
    if fields.tool_choice is not None:
        raise InvalidValueError(
            "tool_choice", "is only allowed with 'tools'; with 'functions' it is 'function_call'"
        )
    offered = _unique(_function(f"functions[{i}]", function) for i, function in enumerate(functions))
    request = ToolRequest(
        param="functions",
        offered=offered,
        callable=offered,
        choice=Choice.AUTO,
        is_parallel=False,
        is_legacy=True,
    )
    match fields.function_call:
        case "none":
            return None
        case ToolReference(name=name):
            found = next((tool for tool in offered if tool.name == name), None)
            if found is None:
                raise InvalidValueError("function_call.name", "is the name of no function of this request")
            return replace(request, callable=[found], choice=Choice.NAMED)
    return request


def _unique(tools: Iterator[OfferedTool]) -> list[OfferedTool]:
    found: dict[str, OfferedTool] = {}
    for tool in tools:
        if tool.name in found:
            raise InvalidValueError(f"{tool.path}.name", f"is also the name of '{found[tool.name].path}'")
        found[tool.name] = tool
    return list(found.values())


def _find(tools: Sequence[OfferedTool], named: FunctionChoice | CustomChoice, path: str) -> OfferedTool:
    is_custom = isinstance(named, CustomChoice)
    name = named.custom.name if isinstance(named, CustomChoice) else named.function.name
    for tool in tools:
        if tool.name == name and tool.is_custom == is_custom:
            return tool
    raise InvalidValueError(
        f"{path}.{named.type}.name", f"is the name of no {named.type} tool of this request"
    )


def _function(path: str, function: FunctionDefinition) -> OfferedTool:
    parameters = _object_schema(function.parameters, f"{path}.parameters")
    return OfferedTool(
        path=path,
        spec=ToolSpec(function.name, parameters, strict=bool(function.strict)),
        description=function.description,
    )


def _placed(offered: OfferedTool, tool: FunctionTool) -> OfferedTool:
    if isinstance(tool, MovedTool):
        return replace(offered, is_listed=tool.is_listed, is_callable=tool.is_callable)
    return offered


def _object_schema(schema: Mapping[str, Any] | None, param: str) -> Mapping[str, Any]:
    """Check the schema of a function's arguments, which are always an object."""
    if schema is None:
        return _NO_ARGUMENTS
    if "type" not in schema:
        return {"type": "object", **schema}
    if schema["type"] != "object":
        raise InvalidValueError(f"{param}.type", "must be 'object': arguments are one")
    return schema


def _custom(path: str, tool: CustomDefinition) -> OfferedTool:
    pattern = grammar = None
    if isinstance(tool.format, GrammarInput):
        definition = tool.format.grammar.definition
        pattern, grammar = (None, definition) if tool.format.grammar.syntax == "lark" else (definition, None)
    return OfferedTool(
        path=path,
        spec=custom_tool(tool.name, pattern, grammar),
        description=tool.description,
        is_custom=True,
    )
