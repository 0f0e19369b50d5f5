"""DeepSeek's calls: a section of them, each with a name and JSON behind a separator."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SECTION = "<｜tool▁calls▁begin｜>"
_SECTION_END = "<｜tool▁calls▁end｜>"
_CALL = "<｜tool▁call▁begin｜>"
_CALL_END = "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_NAME = re.compile(r"[^\s`{]*")


@dataclass(frozen=True)
class DeepSeekFormat(ToolFormat):
    """V3 and R1 write a type first, and the JSON in a fence (`is_fenced`); V3.1 only a name."""

    name: str
    is_fenced: bool
    triggers: tuple[str, ...] = (_SECTION,)
    markers: tuple[str, ...] = (_SECTION, _SECTION_END, _CALL, _CALL_END, _SEPARATOR)
    is_json = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Either variant, whichever comes."""
        yield from reader.skip_space()
        yield from reader.expect(_CALL)
        while True:
            yield from self._read_call(reader, writer)
            yield from reader.skip_space()
            if (yield from reader.accept(_CALL, _SECTION_END)) != _CALL:
                return

    def _read_call(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        pieces: list[str] = []
        if not (yield from reader.until(Markers(_SEPARATOR), pieces.append)):
            raise RejectedError
        yield from reader.skip_space()
        fence = ""
        if (yield from reader.peek()) == "{":
            name = "".join(pieces).strip()
        else:
            name = yield from reader.collect(_NAME)
            yield from reader.skip_space()
            fence = yield from reader.accept("```json", "```")
        writer.start_call(name)
        yield from copy_arguments(reader, writer.arguments)
        end_call(reader, writer)
        yield from reader.skip_space()
        if fence:
            yield from reader.accept("```")
            yield from reader.skip_space()
        yield from reader.accept(_CALL_END)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        head, tail, between = f"{_CALL}%s{_SEPARATOR}", _CALL_END, ""
        if self.is_fenced:
            head, tail, between = f"{_CALL}function{_SEPARATOR}%s\n```json\n", f"\n```{_CALL_END}", "\n"
        calls = [
            f"{lark.literal(head % tool.name)} {lark.arguments(tool)} {lark.literal(tail)}" for tool in tools
        ]
        inner = repeated(lark.rule(either(calls)), lark.literal(between), parallel=parallel)
        return f"{lark.literal(_SECTION)} {inner} {lark.literal(_SECTION_END)}"
