"""Model families: how a model thinks and calls tools, recognised by the markers in its chat template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.arguments import Schema
from caravan.chat.parsing.events import StreamParser
from caravan.chat.parsing.functionary_parser import FunctionaryParser
from caravan.chat.parsing.harmony_parser import HarmonyParser
from caravan.chat.parsing.headed_parser import HeadedParser
from caravan.chat.parsing.muse_parser import MuseParser
from caravan.chat.parsing.tag_parser import ReasoningMarkers, TagParser
from caravan.chat.template_markers import FORMATS_BY_MARKS, HARMONY_REASONING, REASONING
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.registry import FORMATS, FUNCTIONARY, HARMONY, MUSE, PLAIN_JSON
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix

# Where answers are messages with headers, instead of a thought and what follows it.
_PARSERS: dict[str, type[HeadedParser]] = {
    HARMONY.name: HarmonyParser,
    MUSE.name: MuseParser,
    FUNCTIONARY.name: FunctionaryParser,
}


@dataclass(frozen=True)
class ModelFamily:
    """What there is to know of a model's answers beyond their text.

    `tools` is None where the template has no place for tools. `is_guess` says that nothing tells how this
    model writes calls: `tools` is then what most others do.
    """

    name: str
    reasoning: ReasoningMarkers | None = None
    tools: ToolFormat | None = None
    is_guess: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The control tokens that parsers have to see."""
        thoughts = (self.reasoning.start, self.reasoning.end) if self.reasoning else ()
        return (*thoughts, *self.dropped, *(self.tools.markers if self.tools else ()))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Texts around answers that are no part of them."""
        return (
            *(self.reasoning.dropped if self.reasoning else ()),
            *(self.tools.dropped if self.tools else ()),
        )

    @property
    def frames(self) -> tuple[tuple[str, str], ...]:
        """Pairs of marks between which an answer's text is no content; the second may be empty."""
        parser = _PARSERS.get(self.tools.name) if self.tools else None
        return parser.frames if parser else tuple((mark, "") for mark in self.dropped)

    @property
    def is_framed(self) -> bool:
        """Whether even an answer without thoughts and calls is more than its text."""
        return bool(self.dropped) or (self.tools is not None and self.tools.name in _PARSERS)

    def is_open(self, prompt: str) -> bool:
        """Whether a rendered prompt ends inside a thought that the model is to go on with."""
        return self.reasoning is not None and prompt.rstrip().endswith(self.reasoning.start.rstrip())

    def parser(
        self, tools: Sequence[ToolSpec] = (), *, is_open: bool = False, bound: bool = False
    ) -> StreamParser:
        """A parser for one answer. `bound` says that a grammar keeps calls to their form once they begin."""
        if self.tools and self.tools.name in _PARSERS:
            return _PARSERS[self.tools.name](tools, is_open=is_open, bound=bound)
        return TagParser(self.reasoning, self.tools, tools, is_open=is_open, bound=bound)

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        """The texts with which calls begin in the midst of an answer; a grammar may bind from there on."""
        return self.tools.announcements(tools) if self.tools else ()

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        """How an answer that is nothing but calls may begin instead; a grammar may bind it as a whole."""
        return self.tools.beginning(tools) if self.tools else None

    def holds_json(self, tools: Sequence[ToolSpec]) -> bool:
        """Whether calls of these tools hold their arguments as JSON, and no other quotes and brackets."""
        return self.tools is not None and self.tools.holds_json(tools)

    def unkept(self, tool: ToolSpec) -> Iterator[tuple[Schema, str]]:
        """The keywords of a tool's schema that its calls do not keep to, with the schemas they stand in."""
        return self.tools.unkept(tool) if self.tools else iter(())

    def grammar(
        self,
        tools: Sequence[ToolSpec],
        *,
        parallel: bool,
        is_free: bool = False,
        marker_ids: Mapping[str, int] | None = None,
    ) -> str:
        """The calls of these tools as a grammar; `marker_ids` are those of `shown` that are one token.

        With `is_free`, nothing but the announcements and the beginning have announced them.
        """
        assert self.tools is not None
        return self.tools.grammar(tools, parallel=parallel, is_free=is_free, marker_ids=marker_ids)


def recognise(template: str, tool_format: str | None = None) -> ModelFamily:
    """The family of a chat template; `tool_format` names a format of FORMATS that overrides the template's.

    A template that is not known, and has a place for tools, gets calls as plain JSON, which is a guess.
    """
    if tool_format is not None:
        tools: ToolFormat | None = FORMATS[tool_format]
    else:
        tools = next(
            (form for marks, form in FORMATS_BY_MARKS if all(mark in template for mark in marks)), None
        )
    if tools is HARMONY:
        return ModelFamily(HARMONY.name, HARMONY_REASONING, HARMONY)
    reasoning = next((found for mark, found in REASONING if mark in template), None)
    is_guess = tools is PLAIN_JSON and tool_format is None
    return ModelFamily(tools.name if tools else "plain", reasoning, tools, is_guess)
