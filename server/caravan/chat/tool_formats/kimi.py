"""Kimi's calls: a section of them, each with an id that holds its name and number."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SECTION = "<|tool_calls_section_begin|>"
_SECTION_END = "<|tool_calls_section_end|>"
_CALL = "<|tool_call_begin|>"
_CALL_END = "<|tool_call_end|>"
_ARGUMENTS = "<|tool_call_argument_begin|>"


@dataclass(frozen=True)
class KimiFormat(ToolFormat):
    """`functions.NAME:NUMBER` is both the id and the name of a call."""

    name: str = "kimi_k2"
    triggers: tuple[str, ...] = (_SECTION,)
    markers: tuple[str, ...] = (_SECTION, _SECTION_END, _CALL, _CALL_END, _ARGUMENTS)
    is_json = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect(_CALL)
        while True:
            pieces: list[str] = []
            if not (yield from reader.until(Markers(_ARGUMENTS), pieces.append)):
                raise RejectedError
            call_id = "".join(pieces).strip()
            writer.start_call(call_id.removeprefix("functions.").rsplit(":", 1)[0], call_id)
            yield from copy_arguments(reader, writer.arguments)
            end_call(reader, writer)
            yield from reader.skip_space()
            yield from reader.accept(_CALL_END)
            yield from reader.skip_space()
            if (yield from reader.accept(_CALL, _SECTION_END)) != _CALL:
                return

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        number = lark.terminal("0|[1-9][0-9]{0,3}")
        begin, end = lark.literal(_ARGUMENTS), lark.literal(_CALL_END)
        calls = [
            f"{lark.literal(f'{_CALL}functions.{tool.name}:')} {number} {begin} {lark.arguments(tool)} {end}"
            for tool in tools
        ]
        inner = repeated(lark.rule(either(calls)), parallel=parallel)
        return f"{lark.literal(_SECTION)} {inner} {lark.literal(_SECTION_END)}"
