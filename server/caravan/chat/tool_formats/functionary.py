"""Functionary's calls. Python may be called by nothing but code."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, Steps
from caravan.chat.parsing.literals import copy_object
from caravan.chat.parsing.stream_parser import attempt
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.marked_calls import MarkedFormat
from caravan.chat.tool_formats.raw_code import TAG, code_rule, code_tool, is_code, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix

_MARK = ">>>"
_TO_ALL = "all\n"


@dataclass(frozen=True, kw_only=True)
class Functionary31Format(MarkedFormat):
    """Version 3.1 and Llama: elements, and `<|python_tag|>` before code."""

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        """Also the mark before code."""
        return self.triggers if code_tool(tools) is None else (*self.triggers, TAG)

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read an element from the tool's name on, or code."""
        code = code_tool(list(writer.tools.values())) if trigger == TAG else None
        if code is None:
            yield from self.read_calls(reader, writer)
        else:
            yield from _read_code_or_json(reader, writer, *code)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Elements, and then code: whatever comes before it, it is the last."""
        elements = super().rules(lark, tools, parallel=parallel)
        code = code_tool(tools)
        if code is None:
            return elements
        begun = f"({elements})?" if parallel else ""
        text = either([lark.arguments(code[0]), code_rule(lark)])
        return f"{elements} | {begun} {lark.literal(TAG)} {text}"


@dataclass(frozen=True, kw_only=True)
class Functionary32Format(ToolFormat):
    """Version 3.2: messages whose first line says for whom they are, with JSON as their text.

    The prompt has written the mark before the first message. These models show no thoughts.
    """

    triggers: tuple[str, ...] = ()
    frames: tuple[tuple[str, str], ...] = ()

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:
        """Whole lines: texts hold the mark itself, for one as the prompt of Python."""
        return tuple(f"{_MARK}{tool.name}\n" for tool in tools)

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        """A line with a tool's name."""
        return CallPrefix(((),), tuple(f"{tool.name}\n" for tool in tools))

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read a call from the tool's name on."""
        line = yield from reader.expect(*(f"{name}\n" for name in writer.tools))
        yield from self._read_named(reader, writer, line)

    def read_answer(self, reader: Reader, writer: EventWriter, *, is_open: bool) -> Steps[None]:  # noqa: ARG002
        """Read messages, of which those to all are content."""
        lines = (_TO_ALL, *(f"{name}\n" for name in writer.tools))
        marks = Markers(*(_MARK + line for line in lines))
        line = yield from reader.accept(*lines)
        while True:
            if line and line != _TO_ALL:
                yield from attempt(reader, writer, self._read_named(reader, writer, line), line)
            mark = yield from reader.until(marks, writer.content)
            if not mark:
                return
            writer.border()
            line = mark.removeprefix(_MARK)

    def _read_named(self, reader: Reader, writer: EventWriter, line: str) -> Steps[None]:
        """Read a call from the line after the name on."""
        name = line.removesuffix("\n")
        code = code_tool(list(writer.tools.values()))
        if code is not None and code[0].name == name:
            yield from _read_code_or_json(reader, writer, *code)
            return
        yield from _read_json(reader, writer, name)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Calls with the mark between them; whatever comes before it, code is the last."""
        calls = [f"{lark.literal(tool.name + chr(10))} {lark.arguments(tool)}" for tool in tools]
        call, mark = lark.rule(either(calls)), lark.literal(_MARK)
        code = code_tool(tools)
        if code is None:
            return f"{call} ({mark} {call})*" if parallel else call
        last = lark.rule(f"{call} | {lark.literal(code[0].name + chr(10))} {code_rule(lark)}")
        return f"({call} {mark})* {last}" if parallel else last

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """With the mark before the first, or without."""
        return f"({lark.literal(_MARK)})? {self.rules(lark, tools, parallel=parallel)}"


def _read_code_or_json(reader: Reader, writer: EventWriter, tool: ToolSpec, key: str) -> Steps[None]:
    if (yield from is_code(reader)):
        yield from read_code(reader, writer, tool, key)
    else:
        yield from _read_json(reader, writer, tool.name)


def _read_json(reader: Reader, writer: EventWriter, name: str) -> Steps[None]:
    writer.start_call(name)
    yield from copy_object(reader, writer.arguments)
    writer.end_call()
    reader.forget()
