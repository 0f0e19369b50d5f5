"""Calls as JSON objects, one after another or in a list, with or without markers around them."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import copy_value, is_object, read_string
from caravan.chat.tool_formats.base import ToolFormat, end_call, forget_call, read_list
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import SPACE, CallPrefix

_ARGUMENTS = ("arguments", "parameters")
_NAMES = ("name", "tool_name")
_IDS = ("id", "tool_call_id")
# What models put in front of bare calls: a fence, and the type that tools are shown with.
_FENCES: tuple[tuple[str, ...], ...] = ((), ("```",), ("```json",))
_PADS = ("", " ", "")
_TYPE = ('"type"', ":", '"function"', ",")


@dataclass(frozen=True)
class JsonFormat(ToolFormat):
    """`opening`, `closing` and `separator` are what grammars write, as the model was trained to.

    They stand around each call; where the `opening` ends with a bracket, or with `is_section`, around all of
    them. `pads` stand in an object before the name, before the arguments, and behind them. A `lead` comes
    first where an answer is nothing but calls. With `is_single`, models write one call and no more.
    """

    name: str
    triggers: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    is_bare: bool = False
    end: str = ""
    other_ends: tuple[str, ...] = ()
    opening: str = ""
    closing: str = ""
    separator: str = "\n"
    name_key: str = "name"
    arguments_key: str = "arguments"
    pads: tuple[str, str, str] = _PADS
    lead: str = ""
    is_section: bool = False
    is_single: bool = False
    is_json = True

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """All calls, and what closes them; without markers, a code fence may do so."""
        fence = ""
        if self.is_bare:
            fence = yield from reader.accept("```json", "```")
        if self.triggers and self.triggers[0].endswith("["):
            yield from read_list(reader, writer, _read_call)
        else:
            yield from read_calls(reader, writer)
        if self.end or fence:
            yield from reader.skip_space()
            yield from reader.accept(*filter(None, (self.end, *self.other_ends, fence and "```")))

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = self._marked(lark, tools, self.opening, parallel=parallel)
        return f"({lark.literal(self.lead)})? {calls}" if self.lead else calls

    def _marked(self, lark: LarkWriter, tools: Sequence[ToolSpec], opening: str, *, parallel: bool) -> str:
        call = lark.rule(either(json_calls(lark, tools, self.name_key, self.arguments_key, self.pads)))
        parallel = parallel and not self.is_single
        if opening.endswith("[") or self.is_section:
            inner = repeated(call, lark.literal(self.separator), parallel=parallel)
            return f"{lark.literal(opening)} {inner} {lark.literal(self.closing)}"
        if opening:
            call = lark.rule(f"{lark.literal(opening)} {call} {lark.literal(self.closing)}")
        return repeated(call, lark.literal(self.separator), parallel=parallel)

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        """Up to a tool's name; other objects are no calls."""
        if not self.is_bare:
            return None
        name = (f'"{self.name_key}"', ":")
        heads = itertools.product(_FENCES, ((), ("[",)), (("{",), ("{", *_TYPE)))
        return CallPrefix(
            tuple((*fence, *bracket, *brace, *name) for fence, bracket, brace in heads),
            tuple(json.dumps(tool.name) for tool in tools),
        )

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """In a list or not, in a fence or not, behind a trigger or not, with any white space."""
        if not self.is_bare:
            # However the marker is written, the calls are the same.
            openings = [self.opening.replace(self.triggers[0], trigger, 1) for trigger in self.triggers[1:]]
            others = [self._marked(lark, tools, text, parallel=parallel) for text in openings]
            return either([self.rules(lark, tools, parallel=parallel), *others])
        call = lark.rule(either([self._free_call(lark, tool) for tool in tools]))
        one_by_one = repeated(call, lark.literal(self.separator), parallel=parallel)
        listed = repeated(call, lark.terminal(f"{SPACE},{SPACE}"), parallel=parallel)
        opening, closing = lark.terminal(rf"\[{SPACE}"), lark.terminal(rf"{SPACE}\]")
        calls = lark.rule(f"{one_by_one} | {opening} {listed} {closing}")
        fenced = f"{lark.terminal(f'```(?:json)?{SPACE}')} {calls} {lark.terminal(f'{SPACE}```')}"
        marked = [f"{lark.literal(trigger)} {calls}" for trigger in self.triggers]
        # A line that ends need not begin another call.
        end = f"({lark.terminal(SPACE.replace('0', '1'))})?" if parallel else ""
        return f"{either([calls, fenced, *marked])} {end}"

    def _free_call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """One call, from where it begins on as `beginning` says."""
        kind, key, arguments = (
            SPACE.join([*pieces, ""])
            for pieces in (_TYPE, (f'"{self.name_key}"', ":"), (",", f'"{self.arguments_key}"', ":"))
        )
        name = re.escape(json.dumps(tool.name))
        head = lark.terminal(rf"\{{{SPACE}(?:{kind})?{key}{name}{SPACE}{arguments}")
        end = lark.terminal(rf"{SPACE}\}}")
        return f"{head} {lark.arguments(tool)} {end}"


def json_calls(
    lark: LarkWriter,
    tools: Sequence[ToolSpec],
    name_key: str = "name",
    arguments_key: str = "arguments",
    pads: tuple[str, str, str] = _PADS,
) -> list[str]:
    """One call of each tool as an expression."""
    start, between, end = pads
    heads = [f'{{{start}"{name_key}": {json.dumps(tool.name)},{between}"{arguments_key}": ' for tool in tools]
    return [
        f"{lark.literal(head)} {lark.arguments(tool)} {lark.literal(end + '}')}"
        for head, tool in zip(heads, tools, strict=True)
    ]


def read_calls(reader: Reader, writer: EventWriter, not_tools: frozenset[str] = frozenset()) -> Steps[None]:
    """Objects and lists of objects, until something else comes; those of some names are no calls."""
    read_call = partial(_read_call, not_tools=not_tools)
    while True:
        yield from reader.skip_space()
        if (yield from reader.accept("[")):
            yield from read_list(reader, writer, read_call)
        else:
            yield from read_call(reader, writer)
        yield from reader.skip_space()
        yield from reader.accept(";")
        yield from reader.skip_space()
        if (yield from reader.peek()) not in ("{", "["):
            return


def _read_call(reader: Reader, writer: EventWriter, not_tools: frozenset[str] = frozenset()) -> Steps[None]:
    call = _Call(writer, not_tools)
    yield from reader.expect("{")
    while True:
        yield from reader.skip_space()
        key = yield from read_string(reader)
        yield from reader.skip_space()
        yield from reader.expect(":")
        yield from reader.skip_space()
        yield from call.read_value(reader, key)
        yield from reader.skip_space()
        if (yield from reader.accept("}")):
            break
        yield from reader.expect(",")
    if call.is_none:
        forget_call(reader, writer)
        return
    call.finish()
    end_call(reader, writer)


class _Call:
    """A call whose keys come in any order; it begins once its name is known, and its arguments follow."""

    def __init__(self, writer: EventWriter, not_tools: frozenset[str]) -> None:
        self._writer = writer
        self._not_tools = not_tools
        self.is_none = False
        self._name: str | None = None
        self._id: str | None = None
        self._arguments: list[str] | None = None
        self._is_started = False

    def read_value(self, reader: Reader, key: str) -> Steps[None]:
        if key in _NAMES and self._name is None:
            self._name = yield from read_string(reader)
            self.is_none = self._name in self._not_tools and self._name not in self._writer.tools
            if not self.is_none:
                self._writer.check_name(self._name)
        elif key in _ARGUMENTS and self._arguments is None:
            self._arguments = []
            if self._name is not None and not self.is_none:
                self._start(self._name)
            sink = self._writer.arguments if self._is_started else self._arguments.append
            yield from copy_arguments(reader, sink)
        elif key in _IDS and self._id is None:
            self._id = yield from read_string(reader)
            if self._is_started:
                self._writer.identify_call(self._id)
        elif key == "type" or self._name is not None:
            yield from copy_value(reader, lambda _: None)
        else:
            raise RejectedError

    def finish(self) -> None:
        if self._name is None:
            raise RejectedError
        if not self._is_started:
            self._start(self._name)
            self._writer.arguments("".join(self._arguments or ()) or "{}")

    def _start(self, name: str) -> None:
        self._writer.start_call(name, self._id)
        self._is_started = True


def copy_arguments(reader: Reader, sink: Sink) -> Steps[None]:
    """An object; also one that was written as a string, or not at all."""
    yield from reader.skip_space()
    char = yield from reader.peek()
    if char == '"':
        text = yield from read_string(reader)
        if not is_object(text):
            raise RejectedError
        sink(text)
    elif (yield from reader.accept("null")):
        sink("{}")
    elif char == "{":
        yield from copy_value(reader, sink)
    else:
        raise RejectedError
