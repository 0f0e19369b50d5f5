"""Which tools of a request the model may call, and how those are shown to it that come later.

The tools that a prompt lists at its beginning stay the same through a conversation. What comes or goes is
told where it happens, so that it does not cost the prefix.
"""

from collections.abc import Iterable

from caravan_schemas.anthropic import MessagesConversation
from caravan_schemas.anthropic_tools import ClientTool
from caravan_schemas.built_in_tools import BuiltInTool
from caravan_schemas.tools import FunctionDefinition

from caravan.api.prompt.tools import definitions
from caravan.errors import InvalidValueError

_SEARCH = "tool_search_tool_"


class PresentTools:
    """The tools that may be called at a point of a conversation, which begins without the deferred ones.

    Where Anthropic's own search was to find these, nobody here would: then they are `listed` as all others.
    """

    def __init__(self, request: MessagesConversation) -> None:
        tools = request.tools or ()
        self._all = {tool.name: tool for tool in tools if isinstance(tool, ClientTool)}
        defers = not any(isinstance(tool, BuiltInTool) and tool.type.startswith(_SEARCH) for tool in tools)
        self.listed = {name for name, tool in self._all.items() if not (defers and tool.defer_loading)}
        self.callable = set(self.listed)
        self._shown = set(self.listed)

    def add(self, names: Iterable[tuple[str, str]]) -> str:
        """Let tools be called, given by paths and names; returns what the model is told of them.

        That is the definition of each that it has not seen: none is written twice, however often it is
        found. Raises InvalidValueError.
        """
        known, new = [], []
        for path, name in names:
            tool = self._named(path, name)
            self.callable.add(name)
            if name in self._shown:
                known.append(f"The tool {name} is available.")
            else:
                self._shown.add(name)
                new.append(definition_of(tool))
        return "\n".join([*known, definitions(new)] if new else known)

    def remove(self, path: str, name: str) -> str:
        """Let a tool be called no longer; returns how the model is told. Raises InvalidValueError."""
        self._named(path, name)
        self.callable.discard(name)
        return f"The tool {name} is no longer available."

    def _named(self, path: str, name: str) -> ClientTool:
        if name not in self._all:
            raise InvalidValueError(path, "is the name of no tool of this request")
        return self._all[name]


def definition_of(tool: ClientTool) -> FunctionDefinition:
    """Make the function that a tool is; names may be longer here than with OpenAI."""
    return FunctionDefinition.model_construct(
        name=tool.name, description=tool.description, parameters=tool.input_schema, strict=None
    )
