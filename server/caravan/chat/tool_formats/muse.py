"""Muse: answers are messages to the model itself, to the user or to a tool, with a call as XML in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, Sink, Steps
from caravan.chat.parsing.stream_parser import attempt
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.marked_calls import MarkedFormat
from caravan.chat.tool_formats.tool_spec import ToolSpec

_START, _MESSAGE = "<|start|>", "<|message|>"
_ENDS = ("<|eom|>", "<|eot|>")
_HEADER_STARTS = (" to=", "to=", _MESSAGE)
_TO_ITSELF = re.compile(r"\bto=self\b")


@dataclass(frozen=True, kw_only=True)
class MuseFormat(MarkedFormat):
    """A message holds one call. What a model tells itself is reasoning, and calls in it mean nothing."""

    frames: tuple[tuple[str, str], ...] = (
        (f"{_START}assistant to=self{_MESSAGE}", _ENDS[0]),
        (_START, _MESSAGE),
        *((mark, "") for mark in (f" to=user{_MESSAGE}", f"to=user{_MESSAGE}", *_ENDS)),
    )

    def read_answer(self, reader: Reader, writer: EventWriter, *, is_open: bool) -> Steps[None]:
        """Read messages; the prompt has begun the first, up to its header."""
        is_thought = is_open
        if not is_thought and (begun := (yield from reader.accept(*_HEADER_STARTS))):
            is_thought = yield from _read_header(reader, writer, begun)
        calls = self.triggers if writer.tools else ()
        thoughts, answers = Markers(_START, *_ENDS), Markers(_START, *_ENDS, *calls)
        while True:
            sink: Sink = writer.reasoning if is_thought else writer.content
            mark = yield from reader.until(thoughts if is_thought else answers, sink)
            if not mark:
                return
            if mark in calls:
                yield from attempt(reader, writer, self.read(reader, writer), mark)
                continue
            writer.border()
            is_thought = mark == _START and (yield from _read_header(reader, writer, mark))

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Messages to the tools."""
        begin = lark.literal(f"{_START}assistant")
        section = super().rules
        calls = [
            f"{lark.literal(f' to={tool.name}{_MESSAGE}')} {section(lark, [tool], parallel=False)}"
            for tool in tools
        ]
        separator = f"{lark.literal(_ENDS[0])} {begin}"
        return f"({begin})? {repeated(lark.rule(either(calls)), separator, parallel=parallel)}"

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Also from the first section on, whose header comes before the trigger."""
        whole = lark.rule(self.rules(lark, tools, parallel=parallel))
        rest = f" ({lark.literal(_ENDS[0])} {whole})?" if parallel else ""
        return f"{whole} | {super().rules(lark, tools, parallel=False)}{rest}"


def _read_header(reader: Reader, writer: EventWriter, begun: str) -> Steps[bool]:
    """Read a header; whether a thought stands behind it."""
    pieces = [begun]
    if begun != _MESSAGE:
        yield from reader.until(Markers(_MESSAGE), pieces.append)
    writer.border()
    return _TO_ITSELF.search("".join(pieces)) is not None
