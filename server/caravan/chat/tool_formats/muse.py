"""Muse's calls: a message to the tool, with the call as XML in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.chat.tool_formats.xml_format import XmlFormat

START = "<|start|>"
MESSAGE = "<|message|>"
ENDS = ("<|eom|>", "<|eot|>")


@dataclass(frozen=True)
class MuseFormat(XmlFormat):
    """A message holds one call; several calls are several messages."""

    name: str = "muse"
    start: str = "<atem:function_calls>"
    end: str = "</atem:function_calls>"
    call_open: str = '<atem:invoke name="'
    call_end: str = "</atem:invoke>"
    parameter_open: str = '<atem:parameter name="'
    parameter_end: str = "</atem:parameter>"
    name_end: str = '">'
    pad: str = ""

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (START, MESSAGE, *ENDS, self.start, self.end)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        begin = lark.literal(f"{START}assistant")
        calls = [
            f"{lark.literal(f' to={tool.name}{MESSAGE}')} {self._section(lark, [tool])}" for tool in tools
        ]
        separator = f"{lark.literal(ENDS[0])} {begin}"
        return f"({begin})? {repeated(lark.rule(either(calls)), separator, parallel=parallel)}"

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Also from the first section on, whose header comes before the trigger."""
        whole = lark.rule(self.rules(lark, tools, parallel=parallel))
        rest = f" ({lark.literal(ENDS[0])} {whole})?" if parallel else ""
        return f"{whole} | {self._section(lark, tools)}{rest}"

    def _section(self, lark: LarkWriter, tools: Sequence[ToolSpec]) -> str:
        call = lark.rule(either([self._call(lark, tool) for tool in tools]))
        opening, closing = map(lark.literal, (f"{self.start}\n", f"\n{self.end}"))
        return f"{opening} {call} {closing}"
