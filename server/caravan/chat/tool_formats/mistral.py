"""Mistral's calls: at first a list behind one marker, since 2025 a marker, a name and JSON each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.json_calls import JsonFormat, read_calls, read_object
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.marked_calls import MarkedFormat
from caravan.chat.tool_formats.tool_spec import ToolSpec

_LIST = JsonFormat(name="list", around="[TOOL_CALLS][{calls}]", separator=", ")
_ID, _ARGUMENTS = "[CALL_ID]", "[ARGS]"
_NAME = re.compile(r"[^\s\[{]*")
_ID_TEXT = re.compile(r"[A-Za-z0-9]*")


@dataclass(frozen=True, kw_only=True)
class MistralFormat(MarkedFormat):
    """Both are read; grammars write a list with `is_list`, without the ids that may follow there."""

    markers: tuple[str, ...] = ("[TOOL_CALLS]", _ID, _ARGUMENTS)
    call: str = "[TOOL_CALLS]{name}[ARGS]{arguments}"
    is_list: bool = False

    def call_text(self) -> CallText:
        """As grammars write it."""
        return _LIST.call_text() if self.is_list else super().call_text()

    def read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read a list, or one call."""
        yield from reader.skip_space()
        if (yield from reader.peek()) in ("[", "{"):
            yield from read_calls(reader, writer, read_object)
        else:
            yield from super().read_calls(reader, writer)

    def read_head(self, reader: Reader, writer: EventWriter) -> Steps[tuple[str, str | None]]:  # noqa: ARG002
        """Read a name; the id and the last mark may be missing."""
        name = yield from reader.collect(_NAME)
        call_id = None
        if (yield from reader.accept(_ID)):
            call_id = (yield from reader.collect(_ID_TEXT)) or None
        yield from reader.accept(_ARGUMENTS)
        return name, call_id

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """A list of objects, or calls one after another."""
        if not self.is_list:
            return super().rules(lark, tools, parallel=parallel)
        return _LIST.rules(lark, tools, parallel=parallel)

    def call_rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """One call, with an id or without."""
        call_id = f"({lark.literal(_ID)} {lark.terminal('[A-Za-z0-9]{9}')})?"
        head = lark.literal(self.marks.call_open + tool.name)
        return f"{head} {call_id} {lark.literal(_ARGUMENTS)} {lark.arguments(tool)}"
