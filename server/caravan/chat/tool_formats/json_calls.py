"""Calls as JSON objects, one after another or in a list, with or without markers around them."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Steps
from caravan.chat.parsing.literals import copy_object, copy_value, read_string
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.marked_calls import MarkedFormat
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import SPACE, CallPrefix

_ARGUMENTS = ("arguments", "parameters")
_NAMES = ("name", "tool_name")
_IDS = ("id", "tool_call_id")
# What models put in front of bare calls: a fence, and the type that tools are shown with.
_FENCES: tuple[tuple[str, ...], ...] = ((), ("```",), ("```json",))
_NAME = ('"name"', ":")
_PIECE = re.compile(r'"[^"]*"|\s+|[^"\s]')
_TYPE = ('"type"', ":", '"function"', ",")


@dataclass(frozen=True, kw_only=True)
class JsonFormat(MarkedFormat):
    """The `call` is an object with a name and arguments; or its only key is the name.

    Objects are read with their keys in any order, in a list or not. `begins` are the texts with which they
    begin, where it is not just what stands before them, without a bracket. Where calls are read, one of the
    `other_ends` will do, too.
    """

    call: str = '{"name": "{name}", "arguments": {arguments}}'
    separator: str = "\n"
    begins: tuple[str, ...] = ()
    other_ends: tuple[str, ...] = ()

    def _examples(self) -> str:
        return " ".join((super()._examples(), *self.begins, *self.other_ends))

    @property
    def triggers(self) -> tuple[str, ...]:
        """The start without a bracket, or what is given instead."""
        start = self.marks.start.strip().removesuffix("[").strip()
        return self.begins or ((start,) if start else ())

    @property
    def end(self) -> str:
        """The mark that closes the calls."""
        return self.marks.end.strip().removeprefix("]")

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:  # noqa: ARG002
        """Read all calls behind any trigger."""
        return self.read(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read all calls, and what closes them; without markers, a code fence may do so."""
        fence = ""
        if self.is_bare:
            fence = yield from reader.accept("```json", "```")
        read_call = _read_keyed_object if self.call.startswith('{"{name}"') else read_object
        if self.triggers and self.triggers[0].endswith("["):
            yield from read_list(reader, writer, read_call)
        else:
            yield from read_calls(reader, writer, read_call)
        ends = tuple(filter(None, (self.end, *self.other_ends, fence and "```")))
        if ends:
            yield from reader.skip_space()
            yield from reader.accept(*ends)

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:
        """Up to a tool's name; other objects are no calls."""
        if not self.is_bare:
            return None
        heads = itertools.product(_FENCES, ((), ("[",)), (("{",), ("{", *_TYPE)))
        return CallPrefix(
            tuple((*fence, *bracket, *brace, *_NAME) for fence, bracket, brace in heads),
            tuple(json.dumps(tool.name) for tool in tools),
        )

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """In a list or not, in a fence or not, behind a trigger or not, with any white space."""
        if not self.is_bare:
            # However the marker is written, the calls are the same.
            others = [self.rules_after(lark, tools, text, parallel=parallel) for text in self.starts()[1:]]
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

    def literal(self, lark: LarkWriter, text: str) -> str:
        """Write a text of an example; without a marker, piece by piece as JSON's own rules have it.

        What else the answer may be can begin alike, and the longest literal that might follow is looked for.
        """
        is_marked = not self.is_bare and not self.chooses_first
        return " ".join(map(lark.literal, [text] if is_marked else _PIECE.findall(text)))

    def starts(self) -> list[str]:
        """The start, as it is with each of the triggers."""
        return [self.marks.start.replace(self.triggers[0], trigger, 1) for trigger in self.triggers]

    def _free_call(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """Write the rule for one call that begins as `beginning` says, with any white space."""
        arguments_key = '"parameters"' if '"parameters"' in self.call else '"arguments"'
        kind, key, arguments = (
            SPACE.join([*pieces, ""]) for pieces in (_TYPE, _NAME, (",", arguments_key, ":"))
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
