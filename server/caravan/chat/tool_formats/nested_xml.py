"""MiniMax M3's arguments: elements within elements, each tag behind a mark of its own."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.incremental_reader import Markers, Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import copy_value, escaped
from caravan.chat.tool_formats.argument_rules import parameter_rule
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.marked_calls import Arguments
from caravan.chat.tool_formats.parameters import (
    ANY_NAME,
    Parameter,
    accepts_any,
    converted_text,
    declared,
    named,
    read_value,
    types,
    variant,
)
from caravan.chat.tool_formats.tool_spec import ToolSpec

MARK = "]<]minimax[>["
_OPEN, _CLOSE = f"{MARK}<", f"{MARK}</"
_CLOSING = Markers(_CLOSE)
_ENDS = {"object": "}", "array": "]"}


@dataclass(frozen=True)
class NestedElements(Arguments):
    """An object is its members' elements, a list `item` elements; either may also stand there as JSON."""

    is_nested = True

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:
        """Read elements up to and with the end of the call."""
        yield from _Copier(reader, sink).copy(tool)
        return ends[0]

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """The elements in the order of the schema."""
        parts = [_element_rule(lark, named(tool, "")) + "*"] if accepts_any(tool) else []
        return " ".join([*parts, *_member_rules(lark, declared(tool))])


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


class _Copier:
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
            tag: str | None = yield from self._reader.text_before(">")
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
                yield from self._reader.text_before(">")
                return None
        return (yield from self._copy_any(child, allowed))

    def _copy_text(self) -> Steps[None]:
        self._sink('"')
        if not (yield from self._reader.until(_CLOSING, lambda text: self._sink(escaped(text)))):
            raise RejectedError
        yield from self._reader.text_before(">")
        self._sink('"')

    def _copy_any(self, child: Parameter, allowed: set[str] | None) -> Steps[str | None]:
        """A value of which only what follows shows whether it is text or elements."""
        text = yield from read_value(self._reader, MARK)
        mark = yield from self._reader.expect("<", "</")
        tag = yield from self._reader.text_before(">")
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
    if parameter.item is not None:
        return f"{_element_rule(lark, parameter.item)}* {lark.literal(_CLOSE)}"
    if parameter.members:
        return " ".join([*_member_rules(lark, parameter.members), lark.literal(_CLOSE)])
    return parameter_rule(lark, parameter, _CLOSE)
