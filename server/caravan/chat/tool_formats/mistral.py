"""Mistral's calls: at first a list behind one marker, since 2025 a marker, a name and JSON each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments, json_calls, read_calls
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_CALLS = "[TOOL_CALLS]"
_ID = "[CALL_ID]"
_ARGUMENTS = "[ARGS]"
_NAME = re.compile(r"[^\s\[{]*")
_ID_TEXT = re.compile(r"[A-Za-z0-9]*")


@dataclass(frozen=True)
class MistralFormat(ToolFormat):
    """Both are read; grammars write a list with `is_list`, without the ids that may follow there."""

    name: str
    is_list: bool
    triggers: tuple[str, ...] = (_CALLS,)
    markers: tuple[str, ...] = (_CALLS, _ID, _ARGUMENTS)
    is_json = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        if (yield from reader.peek()) in ("[", "{"):
            yield from read_calls(reader, writer)
            return
        name = yield from reader.collect(_NAME)
        call_id = None
        if (yield from reader.accept(_ID)):
            call_id = (yield from reader.collect(_ID_TEXT)) or None
        yield from reader.accept(_ARGUMENTS)
        writer.start_call(name, call_id)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        if self.is_list:
            call = lark.rule(either(json_calls(lark, tools)))
            inner = repeated(call, lark.literal(", "), parallel=parallel)
            return f"{lark.literal(f'{_CALLS}[')} {inner} {lark.literal(']')}"
        call_id = f"({lark.literal(_ID)} {lark.terminal('[A-Za-z0-9]{9}')})? {lark.literal(_ARGUMENTS)}"
        calls = [f"{lark.literal(f'{_CALLS}{tool.name}')} {call_id} {lark.arguments(tool)}" for tool in tools]
        return repeated(lark.rule(either(calls)), parallel=parallel)
