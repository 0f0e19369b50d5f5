"""MiniMax M3's calls: elements within elements, each tag behind a mark of its own."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.arguments import (
    ANY_NAME,
    Parameter,
    accepts_any,
    converted_text,
    declared,
    members,
    named,
    read_value,
    types,
    variant,
)
from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import copy_value, escaped
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.base import ToolFormat, end_call
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_MARK = "]<]minimax[>["
_START, _END = f"{_MARK}<tool_call>", f"{_MARK}</tool_call>"
_CALL, _CALL_END = f'{_MARK}<invoke name="', f"{_MARK}</invoke>"
_OPEN, _CLOSE = f"{_MARK}<", f"{_MARK}</"
_TAG_END, _NAME_END, _TEXT_END, _CLOSING = map(Markers, (">", '">', _MARK, _CLOSE))
_ENDS = {"object": "}", "array": "]"}
# What says nothing about values beyond what the rules below keep to.
_PLAIN = {"type", "properties", "required", "additionalProperties", "items", "description", "title"}


@dataclass(frozen=True)
class NestedXmlFormat(ToolFormat):
    """An object is its members' elements, a list `item` elements; either may also stand there as JSON."""

    name: str = "minimax_m3"
    triggers: tuple[str, ...] = (_START,)
    markers: tuple[str, ...] = (_MARK, "<tool_call>", "</tool_call>")
    is_nested = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        yield from reader.skip_space()
        yield from reader.expect(_CALL)
        while True:
            name = yield from _read_until(reader, _NAME_END)
            writer.start_call(name)
            yield from _Arguments(reader, writer.arguments).copy(writer.tools.get(name))
            end_call(reader, writer)
            yield from reader.skip_space()
            if (yield from reader.accept(_CALL, _END)) != _CALL:
                return

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        call = lark.rule(either([_call_rule(lark, tool) for tool in tools]))
        newline = lark.literal("\n")
        inner = repeated(call, newline, parallel=parallel)
        return f"{lark.literal(_START)} {newline} {inner} {newline} {lark.literal(_END)}"


@dataclass
class _Frame:
    """An object or a list that is open, and what its schema is."""

    kind: str
    parameter: Parameter
    is_first: bool = True

    def child(self, tag: str) -> Parameter:
        schema = variant(self.parameter.schema, self.parameter.root, self.kind)
        if self.kind == "array":
            found = schema.get("items")
        else:
            found = schema.get("properties", {}).get(tag, schema.get("additionalProperties"))
        return dataclasses.replace(self.parameter, schema=found if isinstance(found, Mapping) else {})


class _Arguments:
    """The elements of one call, copied as JSON. Depth costs nothing: nesting is a list, not recursion."""

    def __init__(self, reader: Reader, sink: Sink) -> None:
        self._reader = reader
        self._sink = sink
        self._frames: list[_Frame] = []

    def copy(self, tool: ToolSpec | None) -> Steps[None]:
        """From the first element on, up to and with the end of the call."""
        root = tool.parameters if tool else {}
        is_quoted = tool is not None and tool.input_grammar is not None
        self._open("object", Parameter("", root, root, is_quoted=is_quoted))
        while self._frames:
            yield from self._reader.skip_space()
            mark = yield from self._reader.expect(_OPEN, _CLOSE)
            tag: str | None = yield from _read_until(self._reader, _TAG_END)
            if mark == _CLOSE:
                self._sink(_ENDS[self._frames.pop().kind])
                continue
            while tag is not None:
                tag = yield from self._copy_element(tag)

    def _open(self, kind: str, parameter: Parameter) -> None:
        self._frames.append(_Frame(kind, parameter))
        self._sink("{" if kind == "object" else "[")

    def _copy_element(self, tag: str) -> Steps[str | None]:
        """An element behind its tag; where that holds elements, the tag of the first of them."""
        frame = self._frames[-1]
        separator, frame.is_first = "" if frame.is_first else ", ", False
        key = f"{json.dumps(tag, ensure_ascii=False)}: " if frame.kind == "object" else ""
        self._sink(separator + key)
        child = frame.child(tag)
        if child.is_text:
            yield from self._copy_text()
            return None
        allowed = types(child.schema, child.root)
        if allowed and allowed <= _ENDS.keys():
            yield from self._reader.skip_space()
            if (yield from self._reader.peek()) in ("{", "["):
                yield from copy_value(self._reader, self._sink)
                yield from self._reader.skip_space()
                yield from self._reader.expect(_CLOSE)
                yield from _read_until(self._reader, _TAG_END)
                return None
        return (yield from self._copy_any(child, allowed))

    def _copy_text(self) -> Steps[None]:
        self._sink('"')
        if not (yield from self._reader.until(_CLOSING, lambda text: self._sink(escaped(text)))):
            raise RejectedError
        yield from _read_until(self._reader, _TAG_END)
        self._sink('"')

    def _copy_any(self, child: Parameter, allowed: set[str] | None) -> Steps[str | None]:
        """A value of which only what follows shows whether it is text or elements."""
        text = yield from read_value(self._reader, _MARK)
        mark = yield from self._reader.expect("<", "</")
        tag = yield from _read_until(self._reader, _TAG_END)
        if mark == "</":
            is_empty = not text.strip() and allowed and allowed <= _ENDS.keys()
            self._sink(_empty(allowed) if is_empty else converted_text(text, child))
            return None
        if text.strip():
            raise RejectedError
        is_list = "array" in allowed if allowed else tag == "item"
        self._open("array" if is_list and tag == "item" else "object", child)
        return tag


def _empty(allowed: set[str] | None) -> str:
    return "[]" if allowed == {"array"} else "{}"


def _read_until(reader: Reader, end: Markers) -> Steps[str]:
    pieces: list[str] = []
    if not (yield from reader.until(end, pieces.append)):
        raise RejectedError
    return "".join(pieces)


def _call_rule(lark: LarkWriter, tool: ToolSpec) -> str:
    parts = [_element_rule(lark, named(tool, "")) + "*"] if accepts_any(tool) else []
    parts += _member_rules(lark, declared(tool))
    return " ".join([lark.literal(f'{_CALL}{tool.name}">'), *parts, lark.literal(_CALL_END)])


def _member_rules(lark: LarkWriter, parameters: Sequence[Parameter]) -> list[str]:
    rules = [(_element_rule(lark, parameter), parameter.is_required) for parameter in parameters]
    return [rule if is_required else f"{rule}?" for rule, is_required in rules]


def _element_rule(lark: LarkWriter, parameter: Parameter) -> str:
    name = lark.literal(parameter.name) if parameter.name else lark.terminal(ANY_NAME)
    tag_end = lark.literal(">")
    return lark.rule(
        f"{lark.literal(_OPEN)} {name} {tag_end} {_value_rule(lark, parameter)} {name} {tag_end}"
    )


def _value_rule(lark: LarkWriter, parameter: Parameter) -> str:
    """A value, and the mark that begins the tag behind it."""
    schema, root = parameter.schema, parameter.root
    kind, items = types(schema, root), schema.get("items")
    is_plain = not parameter.is_quoted and schema.keys() <= _PLAIN
    if kind == {"array"} and isinstance(items, Mapping) and is_plain:
        item = _element_rule(lark, Parameter("item", items, root, is_strict=parameter.is_strict))
        return f"{item}* {lark.literal(_CLOSE)}"
    if kind == {"object"} and schema.get("properties") and is_plain:
        return " ".join([*_member_rules(lark, members(parameter)), lark.literal(_CLOSE)])
    return parameter_rule(lark, parameter, _CLOSE)
