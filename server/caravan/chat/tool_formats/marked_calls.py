"""Calls between marks: a head with the tool's name, the arguments, and an end. Most formats are so."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import copy_object
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SEPARATOR = "<｜tool▁sep｜>"
# Exactly a text, or a text of a pattern.
Piece = str | re.Pattern[str]


class Arguments(ABC):
    """One way to write the arguments of a call."""

    is_json = False
    is_nested = False

    @abstractmethod
    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:
        """Copy the arguments as a JSON object. Returns the one of the `ends` that was read, too, if any."""

    @abstractmethod
    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """All texts that are arguments of a tool."""


@dataclass(frozen=True)
class JsonArguments(Arguments):
    """A JSON object; with `is_fenced`, in a code fence."""

    is_fenced: bool = False
    is_json = True

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:  # noqa: ARG002
        """Copy the object; a fence is read, and not asked for."""
        yield from reader.skip_space()
        fence = yield from reader.accept("```json", "```")
        yield from copy_object(reader, sink)
        if fence:
            yield from reader.skip_space()
            yield from reader.accept("```")
        return ""

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """JSON of the tool's schema."""
        rule = lark.arguments(tool)
        if not self.is_fenced:
            return rule
        begin, end = map(lark.literal, ("```json\n", "\n```"))
        return f"{begin} {rule} {end}"


@dataclass(frozen=True, kw_only=True)
class MarkedFormat(ToolFormat):
    """`start` and `end` stand around all calls with `is_section`, else around each, or are left out.

    A call is `call_open`, the tool's name, `name_end`, the arguments, `call_end`. All are given as models
    write them; where calls are read, white space around them does not matter. A `lead` may come before all.

    `before_name` and `after_name` are what else is in the head. `name_read` finds the name in a head, and an
    `id` if it has that group; with `name_characters`, a name is all that matches these. With
    `may_lack_start`, models forget the start at times.
    """

    call_open: str
    name_end: str = ""
    call_end: str = ""
    arguments: Arguments = field(default_factory=JsonArguments)
    start: str = ""
    end: str = ""
    separator: str = ""
    lead: str = ""
    before_name: tuple[Piece, ...] = ()
    after_name: tuple[Piece, ...] = ()
    name_read: re.Pattern[str] = re.compile(r"(?P<name>.*)", re.DOTALL)
    name_characters: re.Pattern[str] | None = None
    is_section: bool = False
    may_lack_start: bool = False

    @property
    def triggers(self) -> tuple[str, ...]:
        """The start; where there is none, or models forget it, that of a call."""
        if not self.start:
            return (self.call_open,)
        start = self.start.strip()
        return (start, self.call_open) if self.may_lack_start else (start,)

    @property
    def is_json(self) -> bool:
        """As the arguments are."""
        return self.arguments.is_json

    @property
    def is_nested(self) -> bool:
        """As the arguments are."""
        return self.arguments.is_nested

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls behind the start, or behind the mark that opens one."""
        return (self.read_calls if trigger == self.call_open else self.read)(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls behind the start."""
        yield from reader.skip_space()
        yield from reader.expect(self.call_open)
        yield from self.read_calls(reader, writer)

    def read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls from the head of the first on; without a start, it is the only one."""
        end = self.end.strip()
        ends = tuple(filter(None, (self.call_end, end)))
        while True:
            name, call_id = yield from self.read_head(reader, writer)
            writer.start_call(name, call_id)
            found = yield from self.arguments.read(reader, writer.arguments, writer.tools.get(name), ends)
            writer.end_call()
            reader.forget()
            if ends and not found:
                yield from reader.skip_space()
                found = yield from reader.accept(*ends)
            if not self.start or found == end:
                return
            yield from reader.skip_space()
            if (yield from reader.accept(*filter(None, (self.call_open, end)))) != self.call_open:
                return

    def read_head(self, reader: Reader, writer: EventWriter) -> Steps[tuple[str, str | None]]:
        """Read what is between the mark that opens a call and its arguments: its name, and its id."""
        name_end = self.name_end.strip()
        if self.name_characters is not None:
            yield from reader.skip_space()
            name = yield from reader.collect(self.name_characters)
            writer.check_name(name)
            if name_end:
                yield from reader.expect(name_end)
            return name, None
        match = self.name_read.fullmatch((yield from reader.text_before(name_end)).strip())
        if match is None:
            raise RejectedError
        return match["name"].strip(), match.groupdict().get("id") or None

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """The calls, with what stands around all or each of them."""
        lead = f"({lark.literal(self.lead)})? " if self.lead else ""
        call, separator = self._calls(lark, tools), lark.literal(self.separator)
        if self.is_section:
            inner = repeated(call, separator, parallel=parallel)
            return f"{lead}{lark.literal(self.start)} {inner} {_apart(lark, self.end)}"
        if self.start:
            call = lark.rule(f"{lark.literal(self.start)} {call} {_apart(lark, self.end)}")
        return lead + repeated(call, separator, parallel=parallel)

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Also calls whose start is missing."""
        whole = self.rules(lark, tools, parallel=parallel)
        if not self.may_lack_start:
            return whole
        call, separator = self._calls(lark, tools), lark.literal(self.separator)
        if self.is_section:
            return f"{whole} | {repeated(call, separator, parallel=parallel)} {_apart(lark, self.end)}"
        more = f"({separator} {whole})?" if parallel else ""
        return f"{whole} | {call} {_apart(lark, self.end)} {more}"

    def _calls(self, lark: LarkWriter, tools: Sequence[ToolSpec]) -> str:
        return lark.rule(either([self.call_rule(lark, tool) for tool in tools]))

    def call_rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """One call of a tool."""
        pieces = (self.call_open, *self.before_name, tool.name, *self.after_name, self.name_end)
        head = _sequence(lark, pieces)
        return f"{head} {self.arguments.rule(lark, tool)} {lark.literal(self.call_end)}"


@dataclass(frozen=True, kw_only=True)
class DeepSeekFormat(MarkedFormat):
    """A name comes before a separator; V3 and R1 write a type there, and then the name. Both are read."""

    def read_head(self, reader: Reader, writer: EventWriter) -> Steps[tuple[str, str | None]]:  # noqa: ARG002
        """Read a name, or a type and a name."""
        text = yield from reader.text_before(_SEPARATOR)
        yield from reader.skip_space()
        if (yield from reader.peek()) == "{":
            return text.strip(), None
        return (yield from reader.collect(re.compile(r"[^\s`{]*"))), None

    def call_text(self) -> CallText:
        """As grammars write it."""
        fence, fence_end = ("```json\n", "\n```") if self.arguments == JsonArguments(True) else ("", "")
        return CallText(
            self.start,
            self.end,
            self.separator,
            self.call_open + "".join(map(str, self.before_name)),
            f"{self.name_end}{fence}",
            f"{fence_end}{self.call_end}",
            is_list=True,
        )


def _apart(lark: LarkWriter, text: str) -> str:
    """A text whose white space in front is a literal of its own: of several that might follow, the longest is
    looked for, and a separator may begin like it.
    """
    mark = text.lstrip()
    return f"{lark.literal(text.removesuffix(mark))} {lark.literal(mark)}".strip()


def _sequence(lark: LarkWriter, pieces: Sequence[Piece]) -> str:
    written, text = [], ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        else:
            written += [lark.literal(text), lark.terminal(piece.pattern)]
            text = ""
    return " ".join([*written, lark.literal(text)])
