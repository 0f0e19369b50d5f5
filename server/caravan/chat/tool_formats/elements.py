"""Arguments one by one, as elements between marks: XML, and what looks like it."""

import dataclasses
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.incremental_reader import Reader, Sink, Steps
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.marked_calls import Arguments
from caravan.chat.tool_formats.parameters import (
    ANY_NAME,
    Parameter,
    accepts_any,
    copy_parameter,
    declared,
    named,
    types,
)
from caravan.chat.tool_formats.tool_spec import ToolSpec

_CDATA, _CDATA_END = "<![CDATA[", "]]>"
# Text that stands there without a section.
_PLAIN = "(?s:(?:[^<].*)?)"
_JSON_TYPES = ("array", "boolean", "null", "number", "object")
# What a schema may say of text that is not to be checked.
_NOTES = frozenset({"type", "title", "description", "default", "examples"})
_TYPED_NAME = re.compile(r'(.*?)(?:"\s+\w+="(\w+))?\s*', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Elements(Arguments):
    """An element is `open`, the parameter's name, `name_end`, the value, `close`.

    `pad` stands on both sides of a value, `newline` behind each element. A `value_open` stands behind the
    name's end, on a line of its own. With `has_cdata`, text that looks like marks stands in a CDATA section.
    """

    open: str
    name_end: str
    close: str
    value_open: str = ""
    pad: str = ""
    newline: str = "\n"
    has_cdata: bool = False

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:
        """Read elements up to one of the ends."""
        sink("{")
        separator = ""
        while True:
            yield from reader.skip_space()
            mark = yield from reader.expect(self.open, *ends)
            if mark != self.open:
                break
            parameter = yield from self._read_name(reader, tool)
            sink(f"{separator}{json.dumps(parameter.name, ensure_ascii=False)}: ")
            if self.has_cdata and (yield from reader.accept(_CDATA)):
                yield from copy_parameter(reader, sink, parameter, _CDATA_END + self.close)
            else:
                yield from copy_parameter(reader, sink, parameter, self.close, self.pad)
            separator = ", "
        sink("}")
        return mark

    def _read_name(self, reader: Reader, tool: ToolSpec | None) -> Steps[Parameter]:
        """Read up to the value."""
        name = yield from reader.text_before(self.name_end)
        if self.value_open:
            yield from reader.skip_space()
            yield from reader.expect(self.value_open)
        return named(tool, name.strip())

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """The elements in the order of the schema."""
        parts = [self._element(lark, named(tool, "")) + "*"] if accepts_any(tool) else []
        for parameter in declared(tool):
            part = self._element(lark, parameter)
            parts.append(part if parameter.is_required else f"{part}?")
        return " ".join(parts)

    def _element(self, lark: LarkWriter, parameter: Parameter) -> str:
        """An element and the newline after it; of a parameter without a name, one with any."""
        between = self.name_end + (self.newline + self.value_open if self.value_open else "")
        opened = _opening(lark, self.open, parameter.name, between)
        return lark.rule(f"{opened} {self._value(lark, parameter)} {lark.literal(self.newline)}")

    def _value(self, lark: LarkWriter, parameter: Parameter) -> str:
        if not self.has_cdata or not parameter.is_text:
            return parameter_rule(lark, parameter, self.close, self.pad)
        plain = parameter_rule(lark, parameter, self.close, pattern=_PLAIN)
        section = parameter_rule(lark, parameter, _CDATA_END + self.close)
        return either([plain, f"{lark.literal(_CDATA)} {section}"])


@dataclass(frozen=True, kw_only=True)
class TypedElements(Elements):
    """Behind a name and a quote comes an `attribute` with the value's type: text as it is, or JSON.

    `text_type` is how the type of text is written, `json_type` how all others are; without it, by their
    names. With `is_escaped`, parameters' names are written as in HTML. With `may_be_blank`, an empty line may
    stand where there are no elements.
    """

    attribute: str
    text_type: str
    json_type: str | None = None
    is_escaped: bool = False
    may_be_blank: bool = False

    def _read_name(self, reader: Reader, tool: ToolSpec | None) -> Steps[Parameter]:
        """Read name and type."""
        text = yield from reader.text_before(f'"{self.name_end}')
        match = _TYPED_NAME.fullmatch(text)
        assert match is not None, "everything matches"
        name = html.unescape(match[1]) if self.is_escaped else match[1]
        parameter = named(tool, name.strip())
        return _as_text(parameter) if match[2] == self.text_type else parameter

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """The elements, or an empty line."""
        rule = super().rule(lark, tool)
        if not self.may_be_blank or any(parameter.is_required for parameter in declared(tool)):
            return rule
        return f'({rule} | "\\n")' if rule else '"\\n"?'

    def _element(self, lark: LarkWriter, parameter: Parameter) -> str:
        options = []
        if _may_be_text(parameter):
            value = parameter_rule(lark, _as_text(parameter), self.close)
            options.append(f"{self._opening(lark, parameter, [self.text_type])} {value}")
        if not parameter.is_text:
            value = parameter_rule(lark, parameter, self.close)
            options.append(f"{self._opening(lark, parameter, self._json_types(parameter))} {value}")
        return lark.rule(f"{either(options)} {lark.literal(self.newline)}")

    def _json_types(self, parameter: Parameter) -> Sequence[str]:
        """How the types are written that a value may have."""
        if self.json_type is not None:
            return [self.json_type]
        allowed = types(parameter.schema, parameter.root) or set()
        return (
            sorted({"number" if name == "integer" else name for name in allowed - {"string"}}) or _JSON_TYPES
        )

    def _opening(self, lark: LarkWriter, parameter: Parameter, kinds: Sequence[str]) -> str:
        name = parameter.name
        if self.is_escaped:
            name = name.replace("&", "&amp;").replace('"', "&quot;")
        opened = _opening(lark, self.open, name, f'" {self.attribute}="')
        kind = either([lark.literal(kind) for kind in kinds])
        closing = lark.literal('"' + self.name_end)
        return f"{opened} {kind} {closing}"


def _opening(lark: LarkWriter, before: str, name: str, after: str) -> str:
    """The marks around the name of a parameter, or around any name."""
    if name:
        return lark.literal(f"{before}{name}{after}")
    return f"{lark.literal(before)} {lark.terminal(ANY_NAME)} {lark.literal(after)}"


def _may_be_text(parameter: Parameter) -> bool:
    """Whether any text at all is a value, or the schema says which."""
    allowed = types(parameter.schema, parameter.root)
    is_open = parameter.schema.keys() <= _NOTES and (allowed is None or "string" in allowed)
    return parameter.is_text or (is_open and not parameter.is_quoted)


def _as_text(parameter: Parameter) -> Parameter:
    """The same, of which the model has said that it is text."""
    if parameter.is_text:
        return parameter
    return dataclasses.replace(parameter, schema={"type": "string"}, is_quoted=False)
