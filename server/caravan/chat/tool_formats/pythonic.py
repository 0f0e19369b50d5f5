"""Calls as a list of Python calls with keyword arguments: Llama 4, some Llama 3.2, LFM2."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Steps
from caravan.chat.parsing.literals import PYTHON, copy_value
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.json_calls import read_list
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.parameters import ANY_NAME, Parameter, accepts_any, declared, named, types
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import SPACE, CallPrefix

_NAME = re.compile(r"[^\s()\[\]{}=,\"']*")
# What schemas call parameters may have spaces in it.
_KEY = re.compile(r"[^\n()\[\]{}=,\"']*")


@dataclass(frozen=True, kw_only=True)
class PythonicFormat(ToolFormat):
    """`start` and `end` are the markers around the list; it need not have them if it is bare."""

    start: str
    end: str
    is_json = False

    @property
    def triggers(self) -> tuple[str, ...]:
        """The marker."""
        return (self.start,)

    def call_text(self) -> CallText:
        """As grammars write it, with the markers."""
        return CallText(f"{self.start}[", f"]{self.end}", ", ", is_list=True, pythonic=True)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect("[")
        yield from read_list(reader, writer, _read_call)
        yield from reader.skip_space()
        yield from reader.accept(self.end)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = f'"[" {_calls(lark, tools, parallel=parallel)}'
        return calls if self.is_bare else f"{lark.literal(self.start)} {calls} {lark.literal(self.end)}"

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        return CallPrefix((("[",),), tuple(f"{tool.name}(" for tool in tools)) if self.is_bare else None

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        if not self.is_bare:
            return self.rules(lark, tools, parallel=parallel)
        opening = lark.terminal(rf"\[{SPACE}")
        calls = lark.rule(f"{opening} {_calls(lark, tools, parallel=parallel)}")
        return f"{calls} | {lark.literal(self.start)} {calls} {lark.literal(self.end)}"


def _calls(lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
    """Write the rule for the list behind its opening bracket."""
    call = lark.rule(either([_call_rule(lark, tool) for tool in tools]))
    return f'{repeated(call, lark.literal(", "), parallel=parallel)} "]"'


def _read_call(reader: Reader, writer: EventWriter) -> Steps[None]:
    name = yield from reader.collect(_NAME)
    yield from reader.expect("(")
    yield from read_arguments(reader, writer, name)


def read_arguments(reader: Reader, writer: EventWriter, name: str) -> Steps[None]:
    """A call from the bracket on that opens its arguments."""
    writer.start_call(name)
    writer.arguments("{")
    separator = ""
    yield from reader.skip_space()
    while not (yield from reader.accept(")")):
        key = (yield from reader.collect(_KEY)).strip()
        if not key:
            raise RejectedError
        yield from reader.skip_space()
        yield from reader.expect("=")
        writer.arguments(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
        yield from copy_value(reader, writer.arguments, PYTHON)
        yield from reader.skip_space()
        if (yield from reader.accept(",")):
            yield from reader.skip_space()
        elif (yield from reader.peek()) != ")":
            raise RejectedError
        separator = ", "
    writer.arguments("}")
    writer.end_call()
    reader.forget()


def _call_rule(lark: LarkWriter, tool: ToolSpec) -> str:
    return f'{lark.literal(tool.name + "(")} {arguments_rule(lark, tool)} ")"'


def arguments_rule(lark: LarkWriter, tool: ToolSpec) -> str:
    """Write the rule for the keyword arguments of a call."""
    if accepts_any(tool):
        value = lark.json(named(tool, "").schema, tool.parameters)
        argument = lark.rule(f'{lark.terminal(ANY_NAME)} "=" {value}')
        return f'({argument} (", " {argument})*)?'
    return lark.sequence(
        [
            (
                lark.rule(f"{lark.literal(parameter.name + '=')} {_value_rule(lark, parameter)}"),
                parameter.is_required,
            )
            for parameter in declared(tool)
        ],
        '", "',
    )


def _value_rule(lark: LarkWriter, parameter: Parameter) -> str:
    """Write the rule for a value: booleans as Python has them, all else as in JSON, which looks the same."""
    if types(parameter.schema, parameter.root) == {"boolean"} and not {"enum", "const"} & set(
        parameter.schema
    ):
        return '("True" | "False")'
    return parameter.json(lark)
