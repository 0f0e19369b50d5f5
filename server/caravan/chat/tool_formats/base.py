"""What a format of tool calls is: marks, a way to read calls, a grammar for them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.argument_rules import unkept
from caravan.chat.tool_formats.lark_writer import LarkWriter
from caravan.chat.tool_formats.parameters import Schema
from caravan.chat.tool_formats.tool_spec import ToolSpec
from caravan.grammars.call_prefix import CallPrefix


@dataclass(frozen=True, kw_only=True)
class ToolFormat(ABC):
    """One way to write calls.

    - `name`: what users call it.
    - `shown_by`: groups of texts. A chat template that has all texts of one group shows this format, unless
      it has `not_shown_by`, too.
    - `markers`: texts that may be control tokens in a model's vocabulary. Parsers have to see them, and
      grammars name them by their ids.
    - `dropped`: texts around an answer that are no part of it.
    - `is_bare`: the answer may also be nothing but calls from its beginning on, without any mark.
    - `chooses_first`: a free answer, too, keeps to `free_rules` from its beginning on.
    """

    name: str
    shown_by: tuple[tuple[str, ...], ...] = ()
    not_shown_by: str | None = None
    markers: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    is_bare: bool = False
    chooses_first: bool = False

    @property
    @abstractmethod
    def triggers(self) -> tuple[str, ...]:
        """The texts with which calls begin in the midst of an answer."""

    @property
    def is_json(self) -> bool:
        """Whether calls hold their arguments as JSON. If not, arguments are written one by one."""
        return True

    @property
    def is_nested(self) -> bool:
        """Whether what is in lists and objects is written one by one, too, and not as JSON."""
        return False

    @property
    def frames(self) -> tuple[tuple[str, str], ...] | None:
        """Pairs of marks between which nothing is content. None, unless answers are messages with headers."""
        return None

    @abstractmethod
    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read the calls behind a trigger. Raises RejectedError where what comes is none, or is cut off."""

    def is_shown_by(self, template: str) -> bool:
        """Whether a chat template has the texts by which this format is known."""
        is_shown = any(all(text in template for text in texts) for texts in self.shown_by)
        return is_shown and (self.not_shown_by is None or self.not_shown_by not in template)

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:  # noqa: ARG002
        """The same, where it makes a difference which trigger it was."""
        return self.read(reader, writer)

    def read_answer(self, reader: Reader, writer: EventWriter, *, is_open: bool) -> Steps[None]:
        """Read a whole answer that is messages with headers; `is_open` where the prompt ends in a thought."""
        raise NotImplementedError

    @abstractmethod
    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """The right side of the grammar's start rule."""

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """`rules` of calls that were not asked for, also as models write them then."""
        return self.rules(lark, tools, parallel=parallel)

    def announcements(self, tools: Sequence[ToolSpec]) -> tuple[str, ...]:  # noqa: ARG002
        """The triggers of calls of these tools."""
        return self.triggers

    def beginning(self, tools: Sequence[ToolSpec]) -> CallPrefix | None:  # noqa: ARG002
        """How an answer begins that is nothing but calls of these tools, if it needs no marker."""
        return None

    def call_text(self) -> CallText:
        """How calls look as text. Templates of most formats show calls, and any text will do for others."""
        return CallText()

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
        """The grammar of all texts that are calls of these tools: one, or several if they may be `parallel`.

        With `is_free`, they come after a trigger or with the `beginning`. Raises InvalidRequestError for a
        strict tool whose schema the format cannot keep.
        """
        lark = LarkWriter(marker_ids or {})
        rules = self.free_rules if is_free else self.rules
        return lark.finish(rules(lark, tools, parallel=parallel))
