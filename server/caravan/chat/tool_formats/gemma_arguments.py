"""Gemma's arguments: an object with bare keys, its strings between markers instead of quotes."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import PYTHON, Notation, copy_value
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.marked_calls import Arguments
from caravan.chat.tool_formats.parameters import (
    ANY_NAME,
    Parameter,
    accepts_any,
    declared,
    named,
)
from caravan.chat.tool_formats.tool_spec import ToolSpec


@dataclass(frozen=True)
class GemmaArguments(Arguments):
    """`quote` stands on both sides of a string."""

    quote: str
    is_nested = True

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:  # noqa: ARG002
        """Copy the object."""
        if (yield from reader.peek()) != "{":
            raise RejectedError
        # Templates print what is nothing as Python does.
        notation = Notation(strings=(self.quote, '"'), words=PYTHON.words, has_bare_keys=True)
        yield from copy_value(reader, sink, notation)
        return ""

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """The object, with its members in the order of the schema."""
        if not accepts_any(tool):
            return self._object(lark, declared(tool))
        pair = lark.rule(f'{lark.terminal(ANY_NAME)} ":" {self._value(lark, named(tool, ""))}')
        return f'"{{" ({pair} ("," {pair})*)? "}}"'

    def _object(self, lark: LarkWriter, parameters: Sequence[Parameter]) -> str:
        pairs = [
            (
                lark.rule(f"{lark.literal(f'{parameter.name}:')} {self._value(lark, parameter)}"),
                parameter.is_required,
            )
            for parameter in parameters
        ]
        return f'"{{" {lark.sequence(pairs, lark.literal(","))} "}}"'

    def _value(self, lark: LarkWriter, parameter: Parameter) -> str:
        if parameter.is_text:
            return f"{lark.literal(self.quote)} {parameter_rule(lark, parameter, self.quote)}"
        if parameter.item is not None:
            item = lark.rule(self._value(lark, parameter.item))
            return f'"[" ({item} ("," {item})*)? "]"'
        if parameter.members:
            return self._object(lark, parameter.members)
        return parameter.json(lark)
