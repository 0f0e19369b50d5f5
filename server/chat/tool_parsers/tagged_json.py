"""Calls as one element each, with the tool's name in its tag and JSON as its text: Functionary 3.1, Llama."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.event_writer import EventWriter
from server.chat.lark import LarkWriter, either, repeated
from server.chat.reader import Reader, Steps
from server.chat.tool_parsers.json_format import copy_arguments
from server.chat.tool_parsers.tool_format import ToolFormat, end_call
from server.chat.tool_spec import ToolSpec

_OPEN, _END = "<function=", "</function>"
_NAME = re.compile(r"[^\s<>{]*")


@dataclass(frozen=True)
class TaggedJsonFormat(ToolFormat):
    """`<function=NAME>{...}</function>`."""

    name: str
    triggers: tuple[str, ...] = (_OPEN,)
    markers: tuple[str, ...] = (_OPEN, _END)
    is_json = True

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
        return repeated(lark.rule(either(calls)), parallel=parallel)
