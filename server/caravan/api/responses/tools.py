"""Tools of the Responses API as a chat has them: those of a namespace one by one, under joined names."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.responses_items import AdditionalTools
from caravan_schemas.responses_tools import (
    FlatAllowedTools,
    FlatChoice,
    FlatCustom,
    FlatFunction,
    FlatGrammar,
    FlatTool,
    FlatToolChoice,
    Namespace,
)
from caravan_schemas.tools import (
    MAX_TOOLS,
    AllowedTools,
    AllowedToolsChoice,
    CustomChoice,
    CustomDefinition,
    CustomTool,
    FunctionChoice,
    FunctionDefinition,
    FunctionTool,
    GrammarInput,
    InputGrammar,
    MovedTool,
    Tool,
    ToolChoice,
    ToolReference,
)

from caravan.api.responses.conversation import Placed, is_instruction, joined_name
from caravan.errors import InvalidValueError


@dataclass(frozen=True)
class InSpace:
    """A tool's name in its namespace."""

    namespace: str
    name: str


@dataclass
class Toolbox:
    """The tools of a request.

    `places` maps paths in a chat, such as `tools[2]`, to paths in the request. `spaces` has the tools of
    namespaces by the names that the model calls them by. `told` has the functions that items bring in the
    midst of the conversation, by the indexes of the items: they are told there, and do not cost the prefix.
    """

    tools: list[Tool] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, InSpace] = field(default_factory=dict)
    told: dict[int, list[FunctionDefinition]] = field(default_factory=dict)

    def choice(self, choice: FlatToolChoice | None) -> ToolChoice | None:
        """Translate what may be called; a tool of a namespace may be named without it if no other is so."""
        if isinstance(choice, FlatAllowedTools):
            tools = [each if isinstance(each, BuiltInTool) else self._named(each) for each in choice.tools]
            return AllowedToolsChoice(
                type="allowed_tools",
                allowed_tools=AllowedTools.model_construct(mode=choice.mode, tools=tools),
            )
        return self._named(choice) if isinstance(choice, FlatChoice) else choice

    def _named(self, choice: FlatChoice) -> FunctionChoice | CustomChoice:
        found = [name for name, inner in self.spaces.items() if inner.name == choice.name]
        is_shown = any(_name(tool) == choice.name for tool in self.tools)
        name = found[0] if len(found) == 1 and not is_shown else choice.name
        reference = ToolReference.model_construct(name=name)
        if choice.type == "function":
            return FunctionChoice(type="function", function=reference)
        return CustomChoice(type="custom", custom=reference)


@dataclass(frozen=True)
class _Given:
    """A tool, where the request has it, and its namespace. `index` is of the item that tells of it."""

    path: str
    tool: FlatFunction | FlatCustom | BuiltInTool
    space: Namespace | None = None
    index: int | None = None

    @property
    def name(self) -> str:
        """What the model calls it by."""
        if isinstance(self.tool, BuiltInTool):
            return self.path
        return joined_name(None if self.space is None else self.space.name, self.tool.name)


def toolbox(tools: Sequence[FlatTool], items: Sequence[Placed]) -> Toolbox:
    """Collect the tools of a request, and those that come as items. Raises InvalidRequestError.

    Of a tool that comes as an item, too, the last definition counts.
    """
    given = list(_given(tools, "tools"))
    added = _added(items, {each.name for each in given})
    every = [each for each in given if each.name not in added] + list(added.values())
    if len(every) > MAX_TOOLS:
        raise InvalidValueError(
            "tools", f"must be at most {MAX_TOOLS}, those of namespaces and of 'additional_tools' included"
        )
    found = Toolbox()
    for index, each in enumerate(every):
        found.places[f"tools[{index}]"] = each.path
        if each.space is not None and not isinstance(each.tool, BuiltInTool):
            found.spaces[each.name] = InSpace(each.space.name, each.tool.name)
        tool = _tool(each)
        if each.index is not None and isinstance(tool, FunctionTool):
            found.told.setdefault(each.index, []).append(tool.function)
            tool = MovedTool.model_construct(**dict(tool), is_listed=False, is_callable=True)
        found.tools.append(tool)
    return found


def _added(items: Sequence[Placed], known: Container[str]) -> dict[str, _Given]:
    """The tools that come as items, by name. What is known from the beginning is listed there."""
    added: dict[str, _Given] = {}
    is_begun = False
    for index, placed in enumerate(items):
        if isinstance(placed.item, AdditionalTools):
            for each in _given(placed.item.tools, f"{placed.path}.tools"):
                before = added.get(each.name)
                place = index if is_begun and each.name not in known else None
                added[each.name] = replace(each, index=place if before is None else before.index)
        is_begun = is_begun or not is_instruction(placed.item)
    return added


def _given(tools: Sequence[FlatTool], place: str) -> Iterator[_Given]:
    for index, tool in enumerate(tools):
        path = f"{place}[{index}]"
        if isinstance(tool, Namespace):
            for inner, each in enumerate(tool.tools):
                yield _Given(f"{path}.tools[{inner}]", each, tool)
        else:
            yield _Given(path, tool)


def _name(tool: Tool) -> str | None:
    if isinstance(tool, BuiltInTool):
        return None
    return tool.function.name if isinstance(tool, FunctionTool) else tool.custom.name


def _tool(given: _Given) -> Tool:
    tool, space = given.tool, given.space
    if isinstance(tool, BuiltInTool):
        return tool
    texts = [tool.description]
    if space is not None and space.description and tool is space.tools[0]:
        # Once is enough for the model to know what all of them are for.
        texts.append(f"All tools named {joined_name(space.name, '')}...: {space.description}")
    # Joined names may be longer than others.
    told: dict[str, Any] = {"name": given.name, "description": "\n\n".join(filter(None, texts)) or None}
    if isinstance(tool, FlatFunction):
        function = FunctionDefinition.model_construct(**told, parameters=tool.parameters, strict=tool.strict)
        return FunctionTool.model_construct(type="function", function=function)
    custom = CustomDefinition.model_construct(**told, format=_input_format(tool))
    return CustomTool.model_construct(type="custom", custom=custom)


def _input_format(tool: FlatCustom) -> GrammarInput | None:
    if not isinstance(tool.format, FlatGrammar):
        return None
    grammar = InputGrammar(syntax=tool.format.syntax, definition=tool.format.definition)
    return GrammarInput(type="grammar", grammar=grammar)
