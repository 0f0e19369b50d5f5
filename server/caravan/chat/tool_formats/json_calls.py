"""Calls as JSON objects, one after another or in a list, with or without markers around them."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Steps
from caravan.chat.parsing.literals import copy_object, copy_value, read_string
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
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


@dataclass(frozen=True, kw_only=True)
class JsonFormat(ToolFormat):
    """`opening`, `closing` and `separator` are what grammars write, as the model was trained to.

    They stand around each call; where the `opening` ends with a bracket, or with `is_section`, around all of
    them. Where calls are read, one of the `other_ends` will do, too. `name_key` and `arguments_key` are the
    keys of an object; without the first, the tool's name is the only key. `pads` stand before either, and
    behind. A `lead` comes first where an answer is nothing but calls. With `is_single`, models write one call
    and no more.
    """

    triggers: tuple[str, ...] = ()
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

    @property
    def end(self) -> str:
        """The mark that closes the calls."""
        return self.closing.strip().removeprefix("]")

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read all calls, and what closes them; without markers, a code fence may do so."""
        fence = ""
        if self.is_bare:
            fence = yield from reader.accept("```json", "```")
        read_call = read_object if self.name_key else _read_keyed_object
        if self.triggers and self.triggers[0].endswith("["):
            yield from read_list(reader, writer, read_call)
        else:
            yield from read_calls(reader, writer, read_call)
        ends = tuple(filter(None, (self.end, *self.other_ends, fence and "```")))
        if ends:
            yield from reader.skip_space()
            yield from reader.accept(*ends)

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        calls = self._marked(lark, tools, self.opening, parallel=parallel)
        return f"({lark.literal(self.lead)})? {calls}" if self.lead else calls

    def _marked(self, lark: LarkWriter, tools: Sequence[ToolSpec], opening: str, *, parallel: bool) -> str:
        call = lark.rule(either(self.call_rules(lark, tools)))
        parallel = parallel and not self.is_single
        if opening.endswith("[") or self.is_section:
            inner = repeated(call, lark.literal(self.separator), parallel=parallel)
            return f"{lark.literal(opening)} {inner} {lark.literal(self.closing)}"
        if opening:
            call = lark.rule(f"{lark.literal(opening)} {call} {lark.literal(self.closing)}")
        return repeated(call, lark.literal(self.separator), parallel=parallel)

    def call_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec]) -> list[str]:
        """One call of each tool as an expression."""
        return [
            f"{lark.literal(self._head(tool.name))} {lark.arguments(tool)} {lark.literal(self.pads[2] + '}')}"
            for tool in tools
        ]

    def _head(self, name: str) -> str:
        """An object up to its arguments."""
        if not self.name_key:
            return f"{{{json.dumps(name)}: "
        start, between, _ = self.pads
        return f'{{{start}"{self.name_key}": {json.dumps(name)},{between}"{self.arguments_key}": '

    def call_text(self) -> CallText:
        """As grammars write it, without the pads."""
        return CallText(
            self.opening,
            self.closing,
            self.separator,
            before=f'{{"{self.name_key}": "' if self.name_key else '{"',
            between=f'", "{self.arguments_key}": ' if self.name_key else '": ',
            is_list=self.opening.endswith("["),
        )

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


ReadCall = Callable[[Reader, EventWriter], Steps[None]]


def read_calls(reader: Reader, writer: EventWriter, read_call: ReadCall) -> Steps[None]:
    """Read calls and lists of calls, until something else comes."""
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


def read_list(reader: Reader, writer: EventWriter, read_call: ReadCall) -> Steps[None]:
    """Read calls with commas between them, and the bracket that closes their list."""
    while True:
        yield from reader.skip_space()
        yield from read_call(reader, writer)
        yield from reader.skip_space()
        if (yield from reader.accept("]")):
            return
        yield from reader.expect(",")


def read_object(reader: Reader, writer: EventWriter, not_tools: frozenset[str] = frozenset()) -> Steps[None]:
    """Read an object that is a call; with a name of `not_tools`, it is none."""
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
        writer.border()
    else:
        call.finish()
        writer.end_call()
    reader.forget()


def _read_keyed_object(reader: Reader, writer: EventWriter) -> Steps[None]:
    yield from reader.expect("{")
    yield from reader.skip_space()
    writer.start_call((yield from read_string(reader)))
    yield from reader.skip_space()
    yield from reader.expect(":")
    yield from copy_object(reader, writer.arguments)
    yield from reader.skip_space()
    yield from reader.expect("}")
    writer.end_call()
    reader.forget()


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
            yield from copy_object(reader, sink)
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
