"""Model families: how a model thinks and calls tools, recognised by the markers in its chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.beginning import Beginning
from server.chat.harmony_parser import HarmonyParser
from server.chat.stream_parser import StreamParser
from server.chat.tag_parser import ReasoningMarkers, TagParser
from server.chat.tool_parsers import (
    APRIEL,
    COHERE,
    DEEPSEEK_V3,
    DEEPSEEK_V4,
    DEEPSEEK_V31,
    DEEPSEEK_V32,
    FORMATS,
    FUNCTION_GEMMA,
    GEMMA,
    GLM,
    GLM_DENSE,
    GRANITE,
    HARMONY,
    HERMES,
    KIMI,
    LFM2,
    LLAMA_JSON,
    LLAMA_PYTHONIC,
    MINIMAX,
    MISTRAL,
    MISTRAL_LIST,
    NEMOTRON,
    PLAIN_JSON,
    QWEN_CODER,
    SEED,
)
from server.chat.tool_parsers.tool_format import ToolFormat
from server.chat.tool_spec import ToolSpec

_HARMONY_REASONING = ReasoningMarkers("<|channel|>analysis<|message|>", "<|end|>")
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
    ("</think>", _THINK),
    ("<think>", _THINK),
)
# All of the marks are in the template; the first that fits is it.
_FORMATS: tuple[tuple[tuple[str, ...], ToolFormat], ...] = (
    (("<|channel|>", "<|message|>", "to=functions."), HARMONY),
    (("<|channel|>", "<|message|>", "commentary"), HARMONY),
    (("<|tool_call>", '<|"|>'), GEMMA),
    (("<start_function_call>",), FUNCTION_GEMMA),
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL),
    (("[TOOL_CALLS]",), MISTRAL_LIST),
    (("<｜tool▁calls▁begin｜>", "```json"), DEEPSEEK_V3),
    (("<｜tool▁calls▁begin｜>",), DEEPSEEK_V31),
    (("｜DSML｜", "function_calls>"), DEEPSEEK_V32),
    (("｜DSML｜", "tool_calls>"), DEEPSEEK_V4),
    (("<|tool_calls_section_begin|>",), KIMI),
    (("<arg_key>", "\n<arg_key>"), GLM),
    (("<arg_key>",), GLM_DENSE),
    (("<seed:tool_call>",), SEED),
    (("<minimax:tool_call>",), MINIMAX),
    (("<tool_call>", "<function=", "<parameter="), QWEN_CODER),
    (("<|tool_call_start|>",), LFM2),
    (("<|tool_list_start|>",), LFM2),
    (("<|START_ACTION|>",), COHERE),
    (("<|tool_call|>",), GRANITE),
    (("<TOOLCALL>",), NEMOTRON),
    (("<tool_calls>[",), APRIEL),
    # MiniMax M3's calls are elements within elements, which nothing here reads.
    (("]<]minimax[>[",), PLAIN_JSON),
    (("<tool_call>",), HERMES),
    (("<|python_start|>",), LLAMA_PYTHONIC),
    (("params_name1=params_value1",), LLAMA_PYTHONIC),
    (('"parameters": dictionary of argument name',), LLAMA_JSON),
    (("tools",), PLAIN_JSON),
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
        if self.tools is HARMONY:
            return HarmonyParser(tools, is_open=is_open, bound=bound)
        return TagParser(self.reasoning, self.tools, tools, is_open=is_open, bound=bound)

    def beginning(self, tools: Sequence[ToolSpec]) -> Beginning | None:
        """How an answer that is nothing but calls may begin instead; a grammar may bind it as a whole."""
        return self.tools.beginning(tools) if self.tools else None

    def grammar(
        self,
        tools: Sequence[ToolSpec],
        *,
        parallel: bool,
        is_free: bool = False,
        marker_ids: Mapping[str, int] | None = None,
    ) -> str:
        """The calls of these tools as a grammar; `marker_ids` are those of `shown` that are one token.

        With `is_free`, nothing but the triggers and the beginning have announced them.
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
        tools = next((form for marks, form in _FORMATS if all(mark in template for mark in marks)), None)
    if tools is HARMONY:
        return ModelFamily(HARMONY.name, _HARMONY_REASONING, HARMONY)
    reasoning = next((found for mark, found in _REASONING if mark in template), None)
    is_guess = tools is PLAIN_JSON and tool_format is None
    return ModelFamily(tools.name if tools else "plain", reasoning, tools, is_guess)
