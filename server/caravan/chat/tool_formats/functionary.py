"""Functionary 3.2's calls: messages whose first line says for whom they are, with JSON as their text."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.raw_code import code_rule, code_tool, is_code, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix

MARK = ">>>"


@dataclass(frozen=True)
class FunctionaryFormat(ToolFormat):
    """The prompt has written the mark before the first message. Python may be called by nothing but code."""

    name: str = "functionary_v3"
    triggers: tuple[str, ...] = ()
    is_bare: bool = True
    is_json = True

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        """Texts hold the mark itself, for one as the prompt of Python."""
        return tuple(f"{MARK}{tool.name}\n" for tool in tools)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """From the tool's name on."""
        line = yield from reader.expect(*(f"{name}\n" for name in writer.tools))
        yield from self.read_named(reader, writer, line.removesuffix("\n"))

    def read_named(self, reader: Reader, writer: EventWriter, name: str) -> Steps[None]:
        """From the line after the name on."""
        code = code_tool(list(writer.tools.values()))
        if code is not None and code[0].name == name and (yield from is_code(reader)):
            yield from read_code(reader, writer, *code)
            return
        writer.start_call(name)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = [f"{lark.literal(tool.name + chr(10))} {lark.arguments(tool)}" for tool in tools]
        call, mark = lark.rule(either(calls)), lark.literal(MARK)
        code = code_tool(tools)
        if code is None:
            return f"{call} ({mark} {call})*" if parallel else call
        # Whatever comes before it, code is the last.
        last = lark.rule(f"{call} | {lark.literal(code[0].name + chr(10))} {code_rule(lark)}")
        return f"({call} {mark})* {last}" if parallel else last

    def holds_json(self, tools: Sequence[ToolSpec]) -> bool:
        return code_tool(tools) is None

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        return CallPrefix(((),), tuple(f"{tool.name}\n" for tool in tools))

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        return f"({lark.literal(MARK)})? {self.rules(lark, tools, parallel=parallel)}"
