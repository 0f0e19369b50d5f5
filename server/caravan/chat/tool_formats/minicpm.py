"""MiniCPM's calls: XML with names as attributes, and text that holds marks in a CDATA section."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.arguments import Parameter, copy_parameter, named
from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Steps
from caravan.chat.parsing.literals import escaped
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.chat.tool_formats.xml_format import XmlFormat, opening

_CDATA, _CDATA_END = "<![CDATA[", "]]>"
# Text that stands there without a section.
_PLAIN = "(?s:(?:[^<].*)?)"


@dataclass(frozen=True)
class MiniCpmFormat(XmlFormat):
    """Calls stand one after another, with no mark around all of them."""

    name: str = "minicpm5"
    start: str = ""
    end: str = "</function>"
    call_open: str = '<function name="'
    call_end: str = "</function>"
    parameter_open: str = '<param name="'
    parameter_end: str = "</param>"
    name_end: str = '">'
    pad: str = ""
    newline: str = ""

    @property
    def triggers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.call_open,)

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("<function", "</function>", "<param", "</param>", _CDATA, _CDATA_END)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from self._read_call(reader, writer)

    def _read_parameter(
        self, reader: Reader, writer: EventWriter, tool: ToolSpec | None, separator: str
    ) -> Steps[None]:
        parameter = named(tool, (yield from self._read_name(reader)))
        writer.arguments(f"{separator}{json.dumps(parameter.name, ensure_ascii=False)}: ")
        if not (yield from reader.accept(_CDATA)):
            yield from copy_parameter(reader, writer.arguments, parameter, self.parameter_end)
        elif parameter.is_text:
            writer.arguments('"')
            end = Markers(_CDATA_END + self.parameter_end)
            if not (yield from reader.until(end, lambda text: writer.arguments(escaped(text)))):
                raise RejectedError
            writer.arguments('"')
        else:
            yield from copy_parameter(reader, writer.arguments, parameter, _CDATA_END + self.parameter_end)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = [self._call(lark, tool) for tool in tools]
        return repeated(lark.rule(either(calls)), lark.literal("\n"), parallel=parallel)

    def _parameter(self, lark: LarkWriter, parameter: Parameter) -> str:
        opened = opening(lark, self.parameter_open, parameter.name, self.name_end)
        if not parameter.is_text:
            return lark.rule(f"{opened} {parameter_rule(lark, parameter, self.parameter_end)}")
        plain = parameter_rule(lark, parameter, self.parameter_end, pattern=_PLAIN)
        section = parameter_rule(lark, parameter, _CDATA_END + self.parameter_end)
        return lark.rule(f"{opened} {either([plain, f'{lark.literal(_CDATA)} {section}'])}")
