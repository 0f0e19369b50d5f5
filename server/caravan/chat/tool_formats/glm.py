"""GLM's calls: a name, then keys and values in turn, each in an element of its own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.arguments import ANY_NAME, accepts_any, copy_parameter, declared, named
from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_NAME = re.compile(r"[^\s<]*")


@dataclass(frozen=True)
class GlmFormat(ToolFormat):
    """`newline` stands between the elements, `suffix` in all tags.

    With `is_section`, all calls share an element, and a mark of its own ends each name.
    """

    name: str
    newline: str = "\n"
    suffix: str = ""
    is_section: bool = False

    def _tag(self, name: str) -> str:
        return f"<{name}{self.suffix}>"

    @property
    def triggers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self._tag("tool_calls" if self.is_section else "tool_call"),)

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        section = ("tool_calls", "/tool_calls", "tool_sep") if self.is_section else ()
        elements = ("tool_call", "/tool_call", "arg_key", "/arg_key", "arg_value", "/arg_value")
        return tuple(map(self._tag, (*section, *elements)))

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        if not self.is_section:
            yield from self._read_call(reader, writer)
            return
        call, end = self._tag("tool_call"), self._tag("/tool_calls")
        yield from reader.skip_space()
        yield from reader.expect(call)
        while True:
            yield from self._read_call(reader, writer)
            yield from reader.skip_space()
            if (yield from reader.accept(call, end)) != call:
                return

    def _read_call(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        name = yield from reader.collect(_NAME)
        if self.is_section:
            yield from reader.accept(self._tag("tool_sep"))
        writer.start_call(name)
        writer.arguments("{")
        key_open, end = self._tag("arg_key"), self._tag("/tool_call")
        separator = ""
        while True:
            yield from reader.skip_space()
            if (yield from reader.expect(key_open, end)) == end:
                break
            pieces: list[str] = []
            if not (yield from reader.until(Markers(self._tag("/arg_key")), pieces.append)):
                raise RejectedError
            key = "".join(pieces).strip()
            writer.arguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
            yield from reader.skip_space()
            yield from reader.expect(self._tag("arg_value"))
            parameter = named(writer.tools.get(name), key)
            yield from copy_parameter(reader, writer.arguments, parameter, self._tag("/arg_value"))
            separator = ", "
        writer.arguments("}")
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        call = lark.rule(either([self._call(lark, tool) for tool in tools]))
        inner = repeated(call, lark.literal("\n"), parallel=parallel)
        if not self.is_section:
            return inner
        opening, newline, closing = self._tag("tool_calls") + "\n", "\n", self._tag("/tool_calls")
        # Literals of their own: of several that might follow, the longest is looked for.
        return " ".join([lark.literal(opening), inner, lark.literal(newline), lark.literal(closing)])

    def _call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        parts = []
        between = lark.literal(self._tag("/arg_key") + self.newline + self._tag("arg_value"))
        if accepts_any(tool):
            key = f"{lark.literal(self._tag('arg_key'))} {lark.terminal(ANY_NAME)} {between}"
            value = parameter_rule(lark, named(tool, ""), self._tag("/arg_value"))
            parts.append(lark.rule(f"{key} {value} {lark.literal(self.newline)}") + "*")
        for parameter in declared(tool):
            key = f"{lark.literal(self._tag('arg_key') + parameter.name)} {between}"
            value = parameter_rule(lark, parameter, self._tag("/arg_value"))
            part = lark.rule(f"{key} {value} {lark.literal(self.newline)}")
            parts.append(part if parameter.is_required else f"{part}?")
        name_end = (self._tag("tool_sep") if self.is_section else "") + self.newline
        head = lark.literal(self._tag("tool_call") + tool.name + name_end)
        return " ".join([head, *parts, lark.literal(self._tag("/tool_call"))])
