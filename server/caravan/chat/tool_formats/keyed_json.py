"""Calls as a list of JSON objects whose one key is the tool's name: Apertus."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.parsing.literals import read_string
from caravan.chat.tool_formats.base import ToolFormat, end_call, read_list
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec


@dataclass(frozen=True)
class KeyedJsonFormat(ToolFormat):
    """`start` and `end` are the markers around the list."""

    name: str
    start: str
    end: str
    is_json = True

    @property
    def triggers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.start,)

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.start, self.end)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect("[")
        yield from read_list(reader, writer, _read_call)
        yield from reader.skip_space()
        yield from reader.accept(self.end)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        heads = [lark.literal(f"{{{json.dumps(tool.name)}: ") for tool in tools]
        calls = [f'{head} {lark.arguments(tool)} "}}"' for head, tool in zip(heads, tools, strict=True)]
        inner = repeated(lark.rule(either(calls)), lark.literal(", "), parallel=parallel)
        return f"{lark.literal(self.start + '[')} {inner} {lark.literal(']' + self.end)}"


def _read_call(reader: Reader, writer: EventWriter) -> Steps[None]:
    yield from reader.expect("{")
    yield from reader.skip_space()
    writer.start_call((yield from read_string(reader)))
    yield from reader.skip_space()
    yield from reader.expect(":")
    yield from copy_arguments(reader, writer.arguments)
    yield from reader.skip_space()
    yield from reader.expect("}")
    end_call(reader, writer)
