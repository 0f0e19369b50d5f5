"""Model families: how a model thinks and calls tools, recognised by the markers in its chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.chat.stream_parser import StreamParser
from server.chat.tag_parser import ReasoningMarkers, TagParser
from server.chat.tool_parsers import FORMATS, HERMES, PLAIN_JSON
from server.chat.tool_parsers.tool_format import ToolFormat
from server.chat.tool_spec import ToolSpec


@dataclass(frozen=True)
class ModelFamily:
    """What there is to know of a model's answers beyond their text.

    `tools` is None where the template has no place for tools.
    """

    name: str
    reasoning: ReasoningMarkers | None = None
    tools: ToolFormat | None = None

    @property
    def triggers(self) -> tuple[str, ...]:
        """The markers with which calls begin in the midst of an answer; a grammar may bind from there on."""
        return self.tools.triggers if self.tools else ()

    @property
    def shown(self) -> tuple[str, ...]:
        """The control tokens that parsers have to see."""
        thoughts = (self.reasoning.start, self.reasoning.end) if self.reasoning else ()
        dropped = self.reasoning.dropped if self.reasoning else ()
        return (*thoughts, *dropped, *(self.tools.markers if self.tools else ()))

    def is_open(self, prompt: str) -> bool:
        """Whether a rendered prompt ends inside a thought that the model is to go on with."""
        return self.reasoning is not None and prompt.rstrip().endswith(self.reasoning.start.rstrip())

    def parser(
        self, tools: Sequence[ToolSpec] = (), *, is_open: bool = False, bound: bool = False
    ) -> StreamParser:
        """A parser for one answer. `bound` says that a grammar keeps calls to their form once they begin."""
        return TagParser(self.reasoning, self.tools, tools, is_open=is_open, bound=bound)

    def grammar(
        self, tools: Sequence[ToolSpec], *, parallel: bool, marker_ids: Mapping[str, int] | None = None
    ) -> str:
        """The calls of these tools as a grammar; `marker_ids` are those of `shown` that are one token."""
        assert self.tools is not None
        return self.tools.grammar(tools, parallel=parallel, marker_ids=marker_ids)


def recognise(template: str, tool_format: str | None = None) -> ModelFamily:
    """The family of a chat template; `tool_format` overrides how it calls tools."""
    reasoning = ReasoningMarkers("<think>", "</think>") if "</think>" in template else None
    tools: ToolFormat | None = None
    if tool_format is not None:
        tools = FORMATS[tool_format]
    elif "<tool_call>" in template:
        tools = HERMES
    elif "tools" in template:
        tools = PLAIN_JSON
    return ModelFamily(tools.name if tools else "plain", reasoning, tools)
