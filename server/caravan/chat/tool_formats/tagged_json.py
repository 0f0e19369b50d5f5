"""Calls as one element each, with the tool's name in its tag and JSON as its text: Functionary 3.1, Llama.

Python is called by nothing but code, behind a mark.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.raw_code import TAG, code_rule, code_tool, is_code, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec

_OPEN, _END = "<function=", "</function>"
_NAME = re.compile(r"[^\s<>{]*")


@dataclass(frozen=True)
class TaggedJsonFormat(ToolFormat):
    """`<function=NAME>{...}</function>`, and `<|python_tag|>` before code."""

    name: str
    triggers: tuple[str, ...] = (_OPEN,)
    markers: tuple[str, ...] = (_OPEN, _END, TAG)
    is_json = True

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        return self.triggers if code_tool(tools) is None else (*self.triggers, TAG)

    def holds_json(self, tools: Sequence[ToolSpec]) -> bool:
        return code_tool(tools) is None

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        """An element from the tool's name on, or code."""
        code = code_tool(list(writer.tools.values())) if trigger == TAG else None
        if code is None:
            yield from self.read(reader, writer)
        elif (yield from is_code(reader)):
            yield from read_code(reader, writer, *code)
        else:
            writer.start_call(code[0].name)
            yield from copy_arguments(reader, writer.arguments)
            end_call(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        name = yield from reader.collect(_NAME)
        writer.check_name(name)
        yield from reader.expect(">")
        writer.start_call(name)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)
        yield from reader.skip_space()
        yield from reader.accept(_END)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = [
            f"{lark.literal(f'{_OPEN}{tool.name}>')} {lark.arguments(tool)} {lark.literal(_END)}"
            for tool in tools
        ]
        elements = repeated(lark.rule(either(calls)), parallel=parallel)
        code = code_tool(tools)
        if code is None:
            return elements
        # Whatever comes before it, code is the last.
        begun = f"({elements})?" if parallel else ""
        return (
            f"{elements} | {begun} {lark.literal(TAG)} {either([lark.arguments(code[0]), code_rule(lark)])}"
        )
