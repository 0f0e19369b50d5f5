"""How a model's calls look as text, from what is known of its format."""

from dataclasses import replace

from caravan.chat.families import ModelFamily
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.deepseek import DeepSeekFormat
from caravan.chat.tool_formats.json_format import JsonFormat
from caravan.chat.tool_formats.pythonic import PythonicFormat
from caravan.chat.tool_formats.registry import HERMES

_CALLS = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "")


def call_text_of(tools: ToolFormat | None) -> CallText:
    """The format's own way; of a format whose calls all of its templates show, any will do."""
    if isinstance(tools, JsonFormat):
        return CallText(
            tools.opening,
            tools.closing,
            tools.separator,
            before=f'{{"{tools.name_key}": "',
            between=f'", "{tools.arguments_key}": ',
            is_list=tools.opening.endswith("["),
        )
    if isinstance(tools, PythonicFormat):
        return CallText(f"{tools.start}[", f"]{tools.end}", ", ", is_list=True, pythonic=True)
    if isinstance(tools, DeepSeekFormat) and tools.is_fenced:
        before, between = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n"
        return CallText(*_CALLS, before, between, "\n```<｜tool▁call▁end｜>", is_list=True)
    if isinstance(tools, DeepSeekFormat):
        before, between = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"
        return CallText(*_CALLS, before, between, "<｜tool▁call▁end｜>", is_list=True)
    return CallText()


def with_calls(family: ModelFamily) -> ModelFamily:
    """The family, with the commonest way to call where its template has no place for tools."""
    return family if family.tools is not None else replace(family, tools=HERMES, is_guess=True)
