"""What a format of tool calls is: markers, a way to read calls, a grammar for them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

from caravan.chat.parsing.arguments import Schema
from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.argument_rules import unkept
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix


class ToolFormat(ABC):
    """One way to write calls.

    A call begins with one of the `triggers`; with `is_bare`, the answer may also be nothing but calls from
    its beginning on, without any marker. `markers` are the texts that may be control tokens in a model's
    vocabulary: they have to be visible in what parsers read, and grammars name them by id. `dropped` are
    texts around an answer that are no part of it. With `is_json`, calls hold their arguments as JSON, and no
    other quotes or brackets that do not belong to each other; if not, arguments are written one by one, and
    with `is_nested` so is what is in them.
    """

    name: str
    triggers: tuple[str, ...]
    markers: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    is_bare: bool = False
    is_json: bool = False
    is_nested: bool = False

    @abstractmethod
    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """The calls behind a trigger. Raises RejectedError where what comes is none, or not at its end."""

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:  # noqa: ARG002
        """The same, where it makes a difference which trigger it was."""
        return self.read(reader, writer)

    @abstractmethod
    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """The right side of the start rule."""

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:  # noqa: ARG002
        """The texts with which calls of these tools begin in the midst of an answer."""
        return self.triggers

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:  # noqa: ARG002
        """How an answer begins that is nothing but calls of these tools, if it needs no marker."""
        return None

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """`rules` of calls that were not asked for, also as models write them then."""
        return self.rules(lark, tools, parallel=parallel)

    def holds_json(self, tools: Sequence[ToolSpec]) -> bool:  # noqa: ARG002
        """`is_json`, for calls of these tools."""
        return self.is_json

    def unkept(self, tool: ToolSpec) -> Iterator[tuple[Schema, str]]:
        """The keywords of a tool's schema that `rules` leave out, each with the schema that it stands in."""
        if self.is_json or tool.input_grammar is not None:
            return iter(())
        return unkept(tool, is_nested=self.is_nested)

    def grammar(
        self,
        tools: Sequence[ToolSpec],
        *,
        parallel: bool,
        is_free: bool = False,
        marker_ids: Mapping[str, int] | None = None,
    ) -> str:
        """All texts that are calls of these tools: one, or several if they may be `parallel`.

        With `is_free`, they come after a trigger or with the `beginning`. Raises InvalidRequestError for a
        strict tool whose schema the format cannot keep.
        """
        lark = LarkWriter(marker_ids or {})
        rules = self.free_rules if is_free else self.rules
        return lark.finish(rules(lark, tools, parallel=parallel))


def read_list(
    reader: Reader, writer: EventWriter, read_call: Callable[[Reader, EventWriter], Steps[None]]
) -> Steps[None]:
    """Calls with commas between them, and the bracket that closes their list."""
    while True:
        yield from reader.skip_space()
        yield from read_call(reader, writer)
        yield from reader.skip_space()
        if (yield from reader.accept("]")):
            return
        yield from reader.expect(",")


def end_call(reader: Reader, writer: EventWriter) -> None:
    """The open call is complete: whatever follows, this was one."""
    writer.end_call()
    if reader.taken is not None:
        reader.taken.clear()


def forget_call(reader: Reader, writer: EventWriter) -> None:
    """What was read is complete, and neither a call nor text."""
    writer.border()
    if reader.taken is not None:
        reader.taken.clear()
