"""Solar's calls: a section of them, each with an id, a name and JSON between markers."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.json_format import copy_arguments
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SECTION = "<|tool_calls|>"
_CALL = "<|tool_call:begin|>"
_NAME = "<|tool_call:name|>"
_ARGUMENTS = "<|tool_call:args|>"
_CALL_END = "<|tool_call:end|>"
_SECTION_END = "<|calls|>"
_START = "<|begin|>assistant"


@dataclass(frozen=True)
class SolarFormat(ToolFormat):
    """An answer is one or more messages, each with its kind instead of a role.

    What templates tell of calls leaves the mark out that begins their section.
    """

    name: str = "solar"
    triggers: tuple[str, ...] = (_SECTION, _CALL)
    markers: tuple[str, ...] = (
        "<|begin|>",
        "<|content|>",
        "<|end|>",
        _SECTION,
        _CALL,
        _NAME,
        _ARGUMENTS,
        _CALL_END,
        _SECTION_END,
    )
    dropped: tuple[str, ...] = (_START, "<|content|>", "<|end|>", _SECTION_END)
    is_json = True

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from (self.read if trigger == _SECTION else self._read_calls)(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect(_CALL)
        yield from self._read_calls(reader, writer)

    def _read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """From the id of the first on."""
        while True:
            call_id = yield from _until(reader, _NAME)
            name = yield from _until(reader, _ARGUMENTS)
            writer.start_call(name, call_id or None)
            yield from copy_arguments(reader, writer.arguments)
            end_call(reader, writer)
            yield from reader.skip_space()
            yield from reader.accept(_CALL_END)
            yield from reader.skip_space()
            if not (yield from reader.accept(_CALL)):
                return

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = self._calls(lark, tools, parallel=parallel)
        return f"({lark.literal(_START)})? ({lark.literal(_SECTION)})? {calls}"

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = self._calls(lark, tools, parallel=parallel)
        return f"({lark.literal(_START)})? {lark.literal(_SECTION)} {calls}"

    def _calls(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        begin, call_id = lark.literal(_CALL), lark.terminal("[a-z0-9]{10}")
        calls = [
            f"{lark.literal(f'{_NAME}{tool.name}{_ARGUMENTS}')} {lark.arguments(tool)}" for tool in tools
        ]
        call = lark.rule(f"{begin} {call_id} {either(calls)} {lark.literal(_CALL_END)}")
        return repeated(call, parallel=parallel)


def _until(reader: Reader, marker: str) -> Steps[str]:
    pieces: list[str] = []
    if not (yield from reader.until(Markers(marker), pieces.append)):
        raise RejectedError
    return "".join(pieces).strip()
