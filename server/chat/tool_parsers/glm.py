"""GLM's calls: a name, then keys and values in turn, each in an element of its own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.event_writer import EventWriter
from server.chat.lark import LarkWriter, either, repeated
from server.chat.parameters import ANY_NAME, accepts_any, copy_parameter, declared, named, parameter_rule
from server.chat.reader import Markers, Reader, RejectedError, Steps
from server.chat.tool_parsers.tool_format import ToolFormat, end_call
from server.chat.tool_spec import ToolSpec

_NAME = re.compile(r"[^\s<]*")
_KEY_END = Markers("</arg_key>")
_VALUE_END = "</arg_value>"


@dataclass(frozen=True)
class GlmFormat(ToolFormat):
    """`newline` stands between the elements."""

    name: str
    newline: str = "\n"
    triggers: tuple[str, ...] = ("<tool_call>",)
    markers: tuple[str, ...] = (
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
    )

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        name = yield from reader.collect(_NAME)
        writer.start_call(name)
        writer.arguments("{")
        separator = ""
        while True:
            yield from reader.skip_space()
            if (yield from reader.expect("<arg_key>", "</tool_call>")) == "</tool_call>":
                break
            pieces: list[str] = []
            if not (yield from reader.until(_KEY_END, pieces.append)):
                raise RejectedError
            key = "".join(pieces).strip()
            writer.arguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
            yield from reader.skip_space()
            yield from reader.expect("<arg_value>")
            parameter = named(writer.tools.get(name), key)
            yield from copy_parameter(reader, writer.arguments, parameter, _VALUE_END)
            separator = ", "
        writer.arguments("}")
        end_call(reader, writer)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        call = lark.rule(either([self._call(lark, tool) for tool in tools]))
        return repeated(call, lark.literal("\n"), parallel=parallel)

    def _call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        parts = []
        between = lark.literal(f"</arg_key>{self.newline}<arg_value>")
        if accepts_any(tool):
            key = f"{lark.literal('<arg_key>')} {lark.terminal(ANY_NAME)} {between}"
            value = parameter_rule(lark, named(tool, ""), _VALUE_END)
            parts.append(lark.rule(f"{key} {value} {lark.literal(self.newline)}") + "*")
        for parameter in declared(tool):
            key = f"{lark.literal(f'<arg_key>{parameter.name}')} {between}"
            value = parameter_rule(lark, parameter, _VALUE_END)
            part = lark.rule(f"{key} {value} {lark.literal(self.newline)}")
            parts.append(part if parameter.is_required else f"{part}?")
        head = lark.literal(f"<tool_call>{tool.name}{self.newline}")
        return " ".join([head, *parts, lark.literal("</tool_call>")])
