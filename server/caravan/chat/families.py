"""Model families: how a model thinks and calls tools, recognised by the markers in its chat template."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from caravan.chat.parsing.answer_parser import AnswerParser, ReasoningMarkers, TaggedAnswer
from caravan.chat.parsing.events import StreamParser
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.parameters import Schema
from caravan.chat.tool_formats.registry import FORMATS, HERMES, PLAIN_JSON, shown_format
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix

_HARMONY = ReasoningMarkers("<|channel|>analysis<|message|>", "<|end|>")
_THINK = ReasoningMarkers("<think>", "</think>")
# By what only such templates contain, the most telling first.
_REASONING = (
    ("<|channel>", ReasoningMarkers("<|channel>thought", "<channel|>")),
    ("[/THINK]", ReasoningMarkers("[THINK]", "[/THINK]")),
    ("</seed:think>", ReasoningMarkers("<seed:think>", "</seed:think>")),
    (
        "<|START_TEXT|>",
        ReasoningMarkers("<|START_THINKING|>", "<|END_THINKING|>", ("<|START_TEXT|>", "<|END_TEXT|>")),
    ),
    (
        "<|START_THINKING|>",
        ReasoningMarkers(
            "<|START_THINKING|>", "<|END_THINKING|>", ("<|START_RESPONSE|>", "<|END_RESPONSE|>")
        ),
    ),
    # One that need not think may say so by the end mark alone.
    ("</mm:think>", ReasoningMarkers("<mm:think>", "</mm:think>", ("</mm:think>",))),
    ("</response> for each", ReasoningMarkers("<think>", "</think>", ("<response>", "</response>"))),
    ("<|inner_prefix|>", ReasoningMarkers("<|inner_prefix|>", "<|inner_suffix|>")),
    ("<think{}>", ReasoningMarkers("<think:opensource>", "</think:opensource>")),
    ("<atem:function_calls>", ReasoningMarkers("to=self<|message|>", "<|eom|>")),
    ("<|tool_call:begin|>", ReasoningMarkers("<|think|>", "<|end|>")),
    ("<|end_of_msg|>", ReasoningMarkers("<|open|>think<|sep|>", "<|close|>think<|sep|>")),
    ("MiniMax-M1 model", _THINK),
    (
        "[BEGIN FINAL RESPONSE]",
        ReasoningMarkers(
            "Here are my reasoning steps:",
            "[BEGIN FINAL RESPONSE]",
            ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),
        ),
    ),
    ("</think>", _THINK),
    ("<think>", _THINK),
)


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
        if self.tools is not None and self.tools.frames is not None:
            return self.tools.frames
        return tuple((mark, "") for mark in self.dropped)

    @property
    def is_framed(self) -> bool:
        """Whether even an answer without thoughts and calls is more than its text."""
        return bool(self.dropped) or (self.tools is not None and self.tools.frames is not None)

    def is_open(self, prompt: str) -> bool:
        """Whether a rendered prompt ends inside a thought that the model is to go on with."""
        return self.reasoning is not None and prompt.rstrip().endswith(self.reasoning.start.rstrip())

    def parser(
        self, tools: Sequence[ToolSpec] = (), *, is_open: bool = False, bound: bool = False
    ) -> StreamParser:
        """A parser for one answer. `bound` says that a grammar keeps calls to their form once they begin."""
        read = TaggedAnswer(self.reasoning, self.tools, is_open).read
        if self.tools is not None and self.tools.frames is not None:
            read = partial(self.tools.read_answer, is_open=is_open)
        return AnswerParser(read, tools, bound=bound)

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        """The texts with which calls begin in the midst of an answer; a grammar may bind from there on."""
        return self.tools.announcements(tools) if self.tools else ()

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        """How an answer that is nothing but calls may begin instead; a grammar may bind it as a whole."""
        return self.tools.beginning(tools) if self.tools else None

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

    @property
    def call_text(self) -> CallText:
        """How the model's calls look as text."""
        return self.tools.call_text() if self.tools else CallText()

    def with_calls(self) -> "ModelFamily":
        """The family, with the commonest way to call where its template has no place for tools."""
        return self if self.tools is not None else replace(self, tools=HERMES, is_guess=True)


def recognise(template: str, tool_format: str | None = None) -> ModelFamily:
    """Tell the family of a chat template; `tool_format` names a format of FORMATS to take instead of its own.

    A template that is not known, and has a place for tools, gets calls as plain JSON, which is a guess.
    """
    tools = shown_format(template) if tool_format is None else FORMATS[tool_format]
    reasoning = next((found for mark, found in _REASONING if mark in template), None)
    if tools is not None and tools.name == "harmony":
        reasoning = _HARMONY
    is_guess = tools is PLAIN_JSON and tool_format is None
    return ModelFamily(tools.name if tools else "plain", reasoning, tools, is_guess)
