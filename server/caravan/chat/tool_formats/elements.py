"""Arguments one by one, as elements between marks: XML, and what looks like it."""

import dataclasses
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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
# Between a name and a value: the end of the name, what opens the value, and a pad.
_MIDDLE = re.compile(r"(.*?>)(?:\s*(<.*>))?(\s*)", re.DOTALL)
_NAME_AND_TYPE = re.compile(r'(.*?)(?:"\s+\w+="(\w+))?\s*', re.DOTALL)


class _Parts(NamedTuple):
    """Of an element: the `pad` is white space on both sides of a value, the `newline` what comes last."""

    open: str
    name_end: str
    value_open: str
    pad: str
    close: str
    newline: str


@dataclass(frozen=True)
class Elements(Arguments):
    """`element` is an example with `{name}` and `{value}`, and the white space behind it.

    With `has_cdata`, text that looks like marks stands in a CDATA section.
    """

    element: str
    has_cdata: bool = False

    @property
    def example(self) -> str:
        """The element."""
        return self.element

    @cached_property
    def parts(self) -> _Parts:
        """The parts of the example."""
        before, *_, middle, behind = re.split(r"\{(?:name|type|value)\}", self.element)
        found = _MIDDLE.fullmatch(middle)
        assert found is not None, "something ends the name"
        name_end, value_open, pad = found.groups("")
        close = behind.strip()
        return _Parts(before, name_end, value_open, pad, close, behind.removeprefix(pad + close))

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:
        """Read elements up to one of the ends."""
        parts = self.parts
        sink("{")
        separator = ""
        while True:
            yield from reader.skip_space()
            mark = yield from reader.expect(parts.open, *ends)
            if mark != parts.open:
                break
            parameter = self._named(tool, (yield from reader.text_before(parts.name_end)))
            sink(f"{separator}{json.dumps(parameter.name, ensure_ascii=False)}: ")
            if parts.value_open:
                yield from reader.skip_space()
                yield from reader.expect(parts.value_open)
            if self.has_cdata and (yield from reader.accept(_CDATA)):
                yield from copy_parameter(reader, sink, parameter, _CDATA_END + parts.close)
            else:
                yield from copy_parameter(reader, sink, parameter, parts.close, parts.pad)
            separator = ", "
        sink("}")
        return mark

    def _named(self, tool: ToolSpec | None, text: str) -> Parameter:
        """The parameter of which this stands in the place of the name."""
        return named(tool, text.strip())

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """The elements in the order of the schema."""
        rules = [self._element(lark, named(tool, "")) + "*"] if accepts_any(tool) else []
        for parameter in declared(tool):
            rule = self._element(lark, parameter)
            rules.append(rule if parameter.is_required else f"{rule}?")
        return " ".join(rules)

    def _element(self, lark: LarkWriter, parameter: Parameter) -> str:
        """An element and what follows it; of a parameter without a name, one with any."""
        before, middle, _ = re.split(r"\{name\}|\{value\}", self.element)
        opened = _opening(lark, before, parameter.name, middle.removesuffix(self.parts.pad))
        return lark.rule(f"{opened} {self._value(lark, parameter)} {lark.literal(self.parts.newline)}")

    def _value(self, lark: LarkWriter, parameter: Parameter) -> str:
        close = self.parts.close
        if not self.has_cdata or not parameter.is_text:
            return parameter_rule(lark, parameter, close, self.parts.pad)
        plain = parameter_rule(lark, parameter, close, pattern=_PLAIN)
        section = parameter_rule(lark, parameter, _CDATA_END + close)
        return either([plain, f"{lark.literal(_CDATA)} {section}"])


@dataclass(frozen=True, kw_only=True)
class TypedElements(Elements):
    """The example also has a `{type}`, which says whether a value is JSON or text as it is.

    `text_type` is how the type of text is written, `json_type` how all others are; without it, by their
    names. With `is_escaped`, parameters' names are written as in HTML. With `may_be_blank`, an empty line may
    stand where there are no elements.
    """

    text_type: str
    json_type: str | None = None
    is_escaped: bool = False
    may_be_blank: bool = False

    def _named(self, tool: ToolSpec | None, text: str) -> Parameter:
        """The parameter, which is a text if its type says so."""
        match = _NAME_AND_TYPE.fullmatch(text)
        assert match is not None, "the type may be missing"
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
            value = parameter_rule(lark, _as_text(parameter), self.parts.close)
            options.append(f"{self._opening(lark, parameter, [self.text_type])} {value}")
        if not parameter.is_text:
            value = parameter_rule(lark, parameter, self.parts.close)
            options.append(f"{self._opening(lark, parameter, self._json_types(parameter))} {value}")
        return lark.rule(f"{either(options)} {lark.literal(self.parts.newline)}")

    def _json_types(self, parameter: Parameter) -> Sequence[str]:
        """How the types are written that a value may have."""
        if self.json_type is not None:
            return [self.json_type]
        allowed = types(parameter.schema, parameter.root) or set()
        names = {"number" if name == "integer" else name for name in allowed - {"string"}}
        return sorted(names) or _JSON_TYPES

    def _opening(self, lark: LarkWriter, parameter: Parameter, kinds: Sequence[str]) -> str:
        before, between, behind, _ = re.split(r"\{(?:name|type|value)\}", self.element)
        name = parameter.name
        if self.is_escaped:
            name = name.replace("&", "&amp;").replace('"', "&quot;")
        kind = either([lark.literal(kind) for kind in kinds])
        return f"{_opening(lark, before, name, between)} {kind} {lark.literal(behind)}"


def _opening(lark: LarkWriter, before: str, name: str, after: str) -> str:
    """The marks around the name of a parameter, or around any name."""
    if name:
        return lark.literal(f"{before}{name}{after}")
    return f"{lark.literal(before)} {lark.terminal(ANY_NAME)} {lark.literal(after)}"


def _may_be_text(parameter: Parameter) -> bool:
    """Whether any text at all is a value, or the schema says which."""
    allowed = types(parameter.schema, parameter.root)
    is_open = parameter.is_any_text and (allowed is None or "string" in allowed)
    return parameter.is_text or (is_open and not parameter.is_quoted)


def _as_text(parameter: Parameter) -> Parameter:
    """The same, of which the model has said that it is text."""
    if parameter.is_text:
        return parameter
    return dataclasses.replace(parameter, schema={"type": "string"}, is_quoted=False)
