"""Calls between marks, described by an example of what a model writes. Most formats are so."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Sink, Steps
from caravan.chat.parsing.literals import copy_object
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SEPARATOR = "<｜tool▁sep｜>"
_TAG = re.compile(r"</?[^<>\s={]+>")


class Arguments(ABC):
    """One way to write the arguments of a call."""

    is_json = False
    is_nested = False

    @property
    def example(self) -> str:
        """An example of one argument, if arguments have marks of their own."""
        return ""

    @abstractmethod
    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:
        """Copy the arguments as a JSON object. Returns the one of the `ends` that was read, too, if any."""

    @abstractmethod
    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """All texts that are arguments of a tool."""


class JsonArguments(Arguments):
    """A JSON object. A code fence around it is read, and not asked for."""

    is_json = True

    def read(self, reader: Reader, sink: Sink, tool: ToolSpec | None, ends: tuple[str, ...]) -> Steps[str]:  # noqa: ARG002
        """Copy the object."""
        yield from reader.skip_space()
        fence = yield from reader.accept("```json", "```")
        yield from copy_object(reader, sink)
        if fence:
            yield from reader.skip_space()
            yield from reader.accept("```")
        return ""

    def rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """JSON of the tool's schema."""
        return lark.arguments(tool)


class _Marks(NamedTuple):
    """The fixed texts of the examples: around the calls, before the name, and around the arguments."""

    start: str
    end: str
    call_open: str
    name_end: str
    call_end: str


@dataclass(frozen=True, kw_only=True)
class MarkedFormat(ToolFormat):
    """`call` is an example with `{name}` and `{arguments}`, and perhaps an `{id}` of the `id_pattern`.

    It stands in `around`: all calls in the place of `{calls}`, or each in that of `{call}`. The `separator`
    is between them, and a `lead` may come before all. The white space is what models write; where calls are
    read, it does not matter.

    A call is read from its `opening` on: all that stands before the name or the id, unless models leave some
    of that out. In what follows, `head` finds the name, and an `id` if it has that group; with
    `name_characters`, the name is whatever matches these. With `may_lack_start`, models forget at times what
    stands before the calls. With `is_single`, they write one call and no more. The `markers` are all tags in
    the examples, unless others are given.
    """

    call: str
    around: str = "{call}"
    separator: str = ""
    arguments: Arguments = field(default_factory=JsonArguments)
    lead: str = ""
    opening: str = ""
    id_pattern: str = ""
    head: re.Pattern[str] = re.compile(r"(?P<name>.*)", re.DOTALL)
    name_characters: re.Pattern[str] | None = None
    may_lack_start: bool = False
    is_single: bool = False

    def __post_init__(self) -> None:
        if not self.markers:
            object.__setattr__(self, "markers", tuple(dict.fromkeys(_TAG.findall(self._examples()))))

    def _examples(self) -> str:
        return " ".join((self.lead, self.around, self.call, self.arguments.example, *self.dropped))

    @cached_property
    def marks(self) -> _Marks:
        """The parts of the examples."""
        start, _, end = re.split(r"(\{calls?\})", self.around)
        head, _, call_end = self.call.partition("{arguments}")
        call_open, *_, name_end = re.split(r"\{(?:name|id)\}", head)
        return _Marks(start, end, self.opening or call_open, name_end, call_end)

    @property
    def is_section(self) -> bool:
        """Whether all calls share one start and one end."""
        return "{calls}" in self.around

    @property
    def triggers(self) -> tuple[str, ...]:
        """The start; where there is none, or models forget it, that of a call."""
        start = self.marks.start.strip()
        return tuple(filter(None, (start, self.marks.call_open if self.may_lack_start or not start else "")))

    @property
    def is_json(self) -> bool:
        """As the arguments are."""
        return self.arguments.is_json

    @property
    def is_nested(self) -> bool:
        """As the arguments are."""
        return self.arguments.is_nested

    def call_text(self) -> CallText:
        """The examples themselves, if calls have nothing but names and JSON."""
        if not self.is_json or self.id_pattern:
            return super().call_text()
        before, between, after = re.split(r"\{name\}|\{arguments\}", self.call)
        marks = self.marks
        return CallText(
            marks.start, marks.end, self.separator, before, between, after, is_list=self.is_section
        )

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls behind the start, or behind the mark that opens one."""
        return (self.read_calls if trigger == self.marks.call_open else self.read)(reader, writer)

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls behind the start."""
        yield from reader.skip_space()
        yield from reader.expect(self.marks.call_open)
        yield from self.read_calls(reader, writer)

    def read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read calls from the head of the first on; without a start, it is the only one."""
        call_open, end = self.marks.call_open, self.marks.end.strip()
        # A fence is read with the arguments.
        ends = tuple(filter(None, (self.marks.call_end.strip().removeprefix("```"), end)))
        while True:
            name, call_id = yield from self.read_head(reader, writer)
            writer.start_call(name, call_id)
            found = yield from self.arguments.read(reader, writer.arguments, writer.tools.get(name), ends)
            writer.end_call()
            reader.forget()
            if ends and not found:
                yield from reader.skip_space()
                found = yield from reader.accept(*ends)
            if not self.marks.start or found == end:
                return
            yield from reader.skip_space()
            if (yield from reader.accept(*filter(None, (call_open, end)))) != call_open:
                return

    def read_head(self, reader: Reader, writer: EventWriter) -> Steps[tuple[str, str | None]]:
        """Read what is between the mark that opens a call and its arguments: its name, and its id."""
        name_end = self.marks.name_end.strip()
        if self.name_characters is not None:
            yield from reader.skip_space()
            name = yield from reader.collect(self.name_characters)
            writer.check_name(name)
            if name_end:
                yield from reader.expect(name_end)
            return name, None
        match = self.head.fullmatch((yield from reader.text_before(name_end)).strip())
        if match is None:
            raise RejectedError
        return match["name"].strip(), match.groupdict().get("id") or None

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """The calls, with what stands around all or each of them."""
        lead = f"({lark.literal(self.lead)})? " if self.lead else ""
        return lead + self.rules_after(lark, tools, self.marks.start, parallel=parallel)

    def rules_after(self, lark: LarkWriter, tools: Sequence[ToolSpec], start: str, *, parallel: bool) -> str:
        """The calls behind some start."""
        call, separator, end = self.any_call(lark, tools), lark.literal(self.separator), self._end(lark)
        parallel = parallel and not self.is_single
        if self.is_section:
            return f"{self.literal(lark, start)} {repeated(call, separator, parallel=parallel)} {end}"
        if start:
            call = lark.rule(f"{lark.literal(start)} {call} {end}")
        return repeated(call, separator, parallel=parallel)

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Also calls whose start is missing."""
        whole = self.rules(lark, tools, parallel=parallel)
        if not self.may_lack_start:
            return whole
        if self.is_section:
            return f"{whole} | {self.rules_after(lark, tools, '', parallel=parallel)}"
        more = f"({lark.literal(self.separator)} {whole})?" if parallel else ""
        return f"{whole} | {self.any_call(lark, tools)} {self._end(lark)} {more}"

    def any_call(self, lark: LarkWriter, tools: Sequence[ToolSpec]) -> str:
        """One call of one of the tools."""
        return lark.rule(either([self.call_rule(lark, tool) for tool in tools]))

    def call_rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """One call of a tool."""
        written = []
        for piece in re.split(r"(\{id\}|\{arguments\})", self.call):
            if piece == "{id}":
                written.append(lark.terminal(self.id_pattern))
            elif piece == "{arguments}":
                written.append(self.arguments.rule(lark, tool))
            else:
                written.append(self.literal(lark, piece.replace("{name}", tool.name)))
        return " ".join(filter(None, written))

    def literal(self, lark: LarkWriter, text: str) -> str:
        """Write a text of an example."""
        return lark.literal(text)

    def _end(self, lark: LarkWriter) -> str:
        """Write the end, with its leading white space as a literal of its own. A separator may begin with the
        same white space, and the longest of the literals that might follow would be looked for.
        """
        mark = self.marks.end.lstrip()
        return f"{lark.literal(self.marks.end.removesuffix(mark))} {lark.literal(mark)}".strip()


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
