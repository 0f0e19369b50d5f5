"""DeepSeek's calls from V3.2 on: XML with a token of its own in each tag, and with kinds of parameters."""

import dataclasses
from dataclasses import dataclass

from caravan.chat.parsing.arguments import Parameter, declared, named, types
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.chat.tool_formats.xml_format import XmlFormat, opening

_MARK = "｜DSML｜"
_TEXT, _JSON = '" string="true', '" string="false'
# What a schema may say of text that is not to be checked.
_NOTES = frozenset({"type", "title", "description", "default", "examples"})


@dataclass(frozen=True)
class DsmlFormat(XmlFormat):
    """`string="true"` stands before text as it is, `string="false"` before JSON."""

    call_open: str = f'<{_MARK}invoke name="'
    call_end: str = f"</{_MARK}invoke>"
    parameter_open: str = f'<{_MARK}parameter name="'
    parameter_end: str = f"</{_MARK}parameter>"
    name_end: str = '">'
    pad: str = ""
    is_section: bool = True

    @property
    def markers(self) -> tuple[str, ...]:  # type: ignore[override]
        return (_MARK,)

    def _named(self, tool: ToolSpec | None, name: str) -> Parameter:
        parameter = named(tool, name.removesuffix(_TEXT).removesuffix(_JSON))
        return as_text(parameter) if name.endswith(_TEXT) else parameter

    def _call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        call = super()._call(lark, tool)
        if any(parameter.is_required for parameter in declared(tool)):
            return call
        # Some templates have an empty line where there are no parameters.
        empty = lark.literal(f"{self.call_open}{tool.name}{self.name_end}\n\n{self.call_end}")
        return either([call, empty])

    def _parameter(self, lark: LarkWriter, parameter: Parameter) -> str:
        options = []
        if may_be_text(parameter):
            value = parameter_rule(lark, as_text(parameter), self.parameter_end)
            options.append(f"{self._opening(lark, parameter, _TEXT)} {value}")
        if not parameter.is_text:
            value = parameter_rule(lark, parameter, self.parameter_end)
            options.append(f"{self._opening(lark, parameter, _JSON)} {value}")
        return lark.rule(f"{either(options)} {lark.literal(self.newline)}")

    def _opening(self, lark: LarkWriter, parameter: Parameter, kind: str) -> str:
        return opening(lark, self.parameter_open, parameter.name, kind + self.name_end)


def may_be_text(parameter: Parameter) -> bool:
    """Whether any text at all is a value, or the schema says which."""
    allowed = types(parameter.schema, parameter.root)
    is_open = parameter.schema.keys() <= _NOTES and (allowed is None or "string" in allowed)
    return parameter.is_text or (is_open and not parameter.is_quoted)


def as_text(parameter: Parameter) -> Parameter:
    """The same, of which the model has said that it is text."""
    if parameter.is_text:
        return parameter
    return dataclasses.replace(parameter, schema={"type": "string"}, is_quoted=False)
