"""Model families: how a model thinks and calls tools, told from its chat template."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from caravan.chat.parsing.events import CallArguments, CallStart, Event
from caravan.chat.parsing.stream_parser import ReasoningMarkers, StreamParser, TaggedAnswer
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.rendering.traits import Calls
from caravan.chat.rendering.turns import Call, Conversation, Turn
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.registry import FORMATS, GENERIC, PLAIN_JSON, shown_format
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.errors import InvalidRequestError

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

# A call to look for in what a template writes.
_QUESTION, _RESULT = "qzquestionzq", "qzresultzq"
_ARGUMENTS: dict[str, Any] = {"qz_text": 'a "b" <c>', "qz_number": 7}
_COMMONEST = ("hermes", "mistral_list")
_TOOL = ToolSpec(
    "qz_tool",
    {
        "type": "object",
        "properties": {
            "qz_text": {"type": "string", "description": "Text."},
            "qz_number": {"type": "integer", "description": "A number."},
        },
        "required": ["qz_text"],
    },
)


@dataclass(frozen=True)
class ModelFamily:
    """How a model writes its thoughts and calls.

    With `is_guess`, nothing tells how this model writes calls, and `tools` is what others do.
    """

    reasoning: ReasoningMarkers | None = None
    tools: ToolFormat = GENERIC
    is_guess: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """The control tokens that parsers have to see."""
        thoughts = (self.reasoning.start, self.reasoning.end) if self.reasoning else ()
        return (*thoughts, *self.dropped, *self.tools.markers)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Texts around answers that are no part of them."""
        return (*(self.reasoning.dropped if self.reasoning else ()), *self.tools.dropped)

    @property
    def frames(self) -> tuple[tuple[str, str], ...]:
        """Pairs of marks between which an answer's text is no content; the second may be empty."""
        if self.tools.frames is not None:
            return self.tools.frames
        return tuple((mark, "") for mark in self.dropped)

    @cached_property
    def is_framed(self) -> bool:
        """Whether there are marks even in an answer without thoughts and calls."""
        is_always = bool(self.dropped) and not self.tools.chooses_first
        return is_always or bool(self.reasoning and self.reasoning.dropped) or self.tools.frames is not None

    @property
    def opening(self) -> str:
        """What stands between a thought, if an empty one, and the answer's own text."""
        if self.tools.name == "harmony":
            return "<|channel|>final<|message|>"
        return self.reasoning.dropped[0] if self.reasoning and self.reasoning.dropped else ""

    def is_open(self, prompt: str) -> bool:
        """Whether a rendered prompt ends inside a thought that the model is to go on with."""
        return self.reasoning is not None and prompt.rstrip().endswith(self.reasoning.start.rstrip())

    def parser(
        self, tools: Sequence[ToolSpec] = (), *, is_open: bool = False, bound: bool = False
    ) -> StreamParser:
        """A parser for one answer. `bound` says that a grammar keeps calls to their form once they begin."""
        read = TaggedAnswer(self.reasoning, self.tools, is_open).read
        if self.tools.frames is not None:
            read = partial(self.tools.read_answer, is_open=is_open)
        return StreamParser(read, tools, bound=bound)


def recognise(template: str, tool_format: str | None = None) -> ModelFamily:
    """Tell the family of a chat template; `tool_format` names a format of FORMATS to take instead of its own.

    One that names tools and tells nothing of calls gets them as plain JSON, one that does not in the general
    form; both are guesses until the template has been tried.
    """
    tools = (shown_format(template) or GENERIC) if tool_format is None else FORMATS[tool_format]
    reasoning = next((found for mark, found in _REASONING if mark in template), None)
    if tools.name == "harmony":
        reasoning = _HARMONY
    is_guess = tool_format is None and tools in (GENERIC, PLAIN_JSON)
    return ModelFamily(reasoning, tools, is_guess)


def with_shown_calls(family: ModelFamily, template: PromptTemplate) -> ModelFamily:
    """The family; where its format is a guess, with one that reads what the template shows, if any does.

    A template without a place for tools leaves nothing to guess: its model is told how to write calls.
    """
    if not family.is_guess:
        return family
    found = None if template.traits.calls is Calls.TEXT else _shown(template)
    if found is not None:
        return replace(family, tools=found, is_guess=False)
    return replace(family, is_guess=template.traits.tools_variable is not None)


def _shown(template: PromptTemplate) -> ToolFormat | None:
    try:
        prompt = template.write(_conversation())
    except InvalidRequestError:
        return None
    shown = prompt.partition(_QUESTION)[2].partition(_RESULT)[0]
    return next((form for form in sorted(FORMATS.values(), key=_rank) if _reads(form, shown)), None)


def _conversation() -> Conversation:
    function = {"name": _TOOL.name, "description": "A tool.", "parameters": _TOOL.parameters}
    turns = [
        Turn(0, "user", _QUESTION),
        Turn(1, "assistant", None, (Call("call_qz01", _TOOL.name, _ARGUMENTS),)),
        Turn(2, "tool", _RESULT, name=_TOOL.name, call_id="call_qz01"),
    ]
    return Conversation(turns, [{"type": "function", "function": function}])


def _rank(form: ToolFormat) -> int:
    """Of formats that read each other's calls, the commonest comes first."""
    return _COMMONEST.index(form.name) if form.name in _COMMONEST else len(_COMMONEST)


def _reads(form: ToolFormat, text: str) -> bool:
    """Whether a format finds exactly the call in a text, which begins before the answer."""
    parser = ModelFamily(None, form).parser([_TOOL])
    events: list[Event] = [*parser.feed(text), *parser.finish()]
    names = [event.name for event in events if isinstance(event, CallStart)]
    arguments = "".join(event.text for event in events if isinstance(event, CallArguments))
    return names == [_TOOL.name] and json.loads(arguments) == _ARGUMENTS
