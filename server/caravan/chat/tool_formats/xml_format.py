"""Calls as XML, with one element for each parameter: Qwen3-Coder's format and its relatives."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.arguments import ANY_NAME, Parameter, accepts_any, copy_parameter, declared, named
from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec


@dataclass(frozen=True)
class XmlFormat(ToolFormat):
    """`opens` are the marks before a call's and a parameter's name, `name_end` is what follows either.

    `pad` stands on both sides of a value, `newline` between the elements. With `is_section`, all calls share
    one `start` and `end`. With `may_lack_start`, models forget that at times.
    """

    name: str
    start: str
    end: str
    call_open: str = "<function="
    call_end: str = "</function>"
    parameter_open: str = "<parameter="
    parameter_end: str = "</parameter>"
    name_end: str = ">"
    pad: str = "\n"
    is_section: bool = False
    newline: str = "\n"
    may_lack_start: bool = False

    @property
    def triggers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.start, self.call_open) if self.may_lack_start else (self.start,)

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.start, self.end)

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from (self.read if trigger == self.start else self._read_calls)(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect(self.call_open)
        yield from self._read_calls(reader, writer)

    def _read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """From the name of the first on."""
        while True:
            last = yield from self._read_call(reader, writer)
            if last == self.end:
                return
            yield from reader.skip_space()
            if (yield from reader.accept(self.end, self.call_open)) != self.call_open:
                return

    def _read_call(self, reader: Reader, writer: EventWriter) -> Steps[str]:
        """A call from its name on; the mark that ended it."""
        name = self._call_name((yield from self._read_name(reader)))
        writer.start_call(name)
        writer.arguments("{")
        separator = ""
        while True:
            yield from reader.skip_space()
            mark = yield from reader.expect(self.parameter_open, self.call_end, self.end)
            if mark != self.parameter_open:
                break
            yield from self._read_parameter(reader, writer, writer.tools.get(name), separator)
            separator = ", "
        writer.arguments("}")
        end_call(reader, writer)
        return mark

    def _read_parameter(
        self, reader: Reader, writer: EventWriter, tool: ToolSpec | None, separator: str
    ) -> Steps[None]:
        """A parameter from its name on, with a `separator` before it."""
        parameter = self._named(tool, (yield from self._read_name(reader)))
        writer.arguments(f"{separator}{json.dumps(parameter.name, ensure_ascii=False)}: ")
        yield from copy_parameter(reader, writer.arguments, parameter, self.parameter_end, self.pad)

    def _call_name(self, text: str) -> str:
        """The name of a call out of what stands in its place."""
        return text

    def _named(self, tool: ToolSpec | None, name: str) -> Parameter:
        """The parameter that a name, or what stands in place of it, means."""
        return named(tool, name)

    def _read_name(self, reader: Reader) -> Steps[str]:
        pieces: list[str] = []
        if not (yield from reader.until(Markers(self.name_end), pieces.append)):
            raise RejectedError
        return "".join(pieces).strip()

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        call = lark.rule(either([self._call(lark, tool) for tool in tools]))
        opening, newline, closing = map(lark.literal, (self.start + self.newline, self.newline, self.end))
        if self.is_section:
            # Literals of their own: of several that might follow, the longest is looked for.
            return f"{opening} {repeated(call, newline, parallel=parallel)} {newline} {closing}"
        call = lark.rule(f"{opening} {call} {newline} {closing}")
        return repeated(call, newline, parallel=parallel)

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        whole = self.rules(lark, tools, parallel=parallel)
        if not self.may_lack_start:
            return whole
        call = lark.rule(either([self._call(lark, tool) for tool in tools]))
        newline, closing = lark.literal(self.newline), lark.literal(self.end)
        more = f"({newline} {whole})?" if parallel else ""
        return f"{whole} | {call} {newline} {closing} {more}"

    def _call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        parts = [self._parameter(lark, named(tool, "")) + "*"] if accepts_any(tool) else []
        for parameter in declared(tool):
            part = self._parameter(lark, parameter)
            parts.append(part if parameter.is_required else f"{part}?")
        return " ".join([self._head(lark, tool), *parts, lark.literal(self.call_end)])

    def _head(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """What stands before the first parameter."""
        return lark.literal(f"{self.call_open}{tool.name}{self.name_end}{self.newline}")

    def _parameter(self, lark: LarkWriter, parameter: Parameter) -> str:
        """A rule for a parameter and the newline after it; one without a name may have any."""
        opened = opening(lark, self.parameter_open, parameter.name, self.name_end)
        value = parameter_rule(lark, parameter, self.parameter_end, self.pad)
        return lark.rule(f"{opened} {value} {lark.literal(self.newline)}")


def opening(lark: LarkWriter, before: str, name: str, after: str) -> str:
    """The mark with which a parameter of some name begins, or of any."""
    if name:
        return lark.literal(f"{before}{name}{after}")
    return f"{lark.literal(before)} {lark.terminal(ANY_NAME)} {lark.literal(after)}"
