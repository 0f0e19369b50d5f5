"""Functionary 3.2's calls: messages whose first line says for whom they are, with JSON as their text."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.beginning import Beginning
from server.chat.event_writer import EventWriter
from server.chat.lark import LarkWriter, either
from server.chat.reader import Reader, Steps
from server.chat.tool_parsers.json_format import copy_arguments
from server.chat.tool_parsers.tool_format import ToolFormat, end_call
from server.chat.tool_spec import ToolSpec

MARK = ">>>"


@dataclass(frozen=True)
class FunctionaryFormat(ToolFormat):
    """The prompt has written the mark before the first message."""

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
        writer.start_call(name)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = [f"{lark.literal(tool.name + chr(10))} {lark.arguments(tool)}" for tool in tools]
        call = lark.rule(either(calls))
        return f"{call} ({lark.literal(MARK)} {call})*" if parallel else call

    def beginning(self, tools: Sequence[ToolSpec]) -> Beginning | None:
        return Beginning(((),), tuple(f"{tool.name}\n" for tool in tools))

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        return f"({lark.literal(MARK)})? {self.rules(lark, tools, parallel=parallel)}"
