"""Kimi K3's calls: elements between markers, with names and types as attributes."""

import html
import re
from dataclasses import dataclass

from caravan.chat.parsing.arguments import Parameter, named, types
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.dsml_format import as_text, may_be_text
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.chat.tool_formats.xml_format import XmlFormat, opening

_SEPARATOR = "<|sep|>"
_CALL = re.compile(r'(.*?)"(?:\s.*)?', re.DOTALL)
_ARGUMENT = re.compile(r'(.*?)"(?:\s+type="(\w+)")?\s*', re.DOTALL)
_KINDS = {"integer": "number"}
_JSON_KINDS = ("array", "boolean", "null", "number", "object")


def opened(tag: str) -> str:
    """The mark that opens an element."""
    return f"<|open|>{tag}{_SEPARATOR}"


def closed(tag: str) -> str:
    """The mark that closes an element."""
    return f"<|close|>{tag}{_SEPARATOR}"


@dataclass(frozen=True)
class KimiK3Format(XmlFormat):
    """The type `string` stands before text as it is, all others before JSON. Calls are numbered from one."""

    name: str = "kimi_k3"
    start: str = opened("tools")
    end: str = closed("tools")
    call_open: str = '<|open|>call tool="'
    call_end: str = closed("call")
    parameter_open: str = '<|open|>argument key="'
    parameter_end: str = closed("argument")
    name_end: str = _SEPARATOR
    pad: str = ""
    is_section: bool = True
    newline: str = ""
    dropped: tuple[str, ...] = (
        opened("response"),
        closed("response"),
        closed("message"),
        "<|end_of_msg|>",
    )

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("<|open|>", "<|close|>", _SEPARATOR, "<|end_of_msg|>")

    def _call_name(self, text: str) -> str:
        match = _CALL.fullmatch(text)
        return html.unescape(match[1]) if match else text

    def _named(self, tool: ToolSpec | None, name: str) -> Parameter:
        match = _ARGUMENT.fullmatch(name)
        if match is None:
            return named(tool, name)
        parameter = named(tool, html.unescape(match[1]))
        return as_text(parameter) if match[2] == "string" else parameter

    def _head(self, lark: LarkWriter, tool: ToolSpec) -> str:
        number = lark.terminal("[1-9][0-9]{0,2}")
        head, tail = f'{self.call_open}{tool.name}" index="', f'"{_SEPARATOR}'
        return f"{lark.literal(head)} {number} {lark.literal(tail)}"

    def _parameter(self, lark: LarkWriter, parameter: Parameter) -> str:
        options = []
        if may_be_text(parameter):
            value = parameter_rule(lark, as_text(parameter), self.parameter_end)
            options.append(f"{self._opening(lark, parameter, 'string')} {value}")
        if not parameter.is_text:
            allowed = types(parameter.schema, parameter.root) or set(_JSON_KINDS)
            kinds = sorted({_KINDS.get(kind, kind) for kind in allowed} - {"string"}) or _JSON_KINDS
            value = parameter_rule(lark, parameter, self.parameter_end)
            options.append(f"{self._opening(lark, parameter, *kinds)} {value}")
        return lark.rule(either(options))

    def _opening(self, lark: LarkWriter, parameter: Parameter, *kinds: str) -> str:
        name = parameter.name.replace("&", "&amp;").replace('"', "&quot;")
        written = either([lark.literal(kind) for kind in kinds])
        head = opening(lark, self.parameter_open, name, '" type="')
        tail = f'"{_SEPARATOR}'
        return f"{head} {written} {lark.literal(tail)}"
