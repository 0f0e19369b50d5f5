"""Command R's calls: a list of actions behind a word, one of which is to answer without any tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, Steps
from caravan.chat.tool_formats.json_calls import JsonFormat, read_calls, read_object
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.tool_spec import ToolSpec

_DIRECTLY = ("directly_answer", "directly-answer")
_ANSWER = "Answer:"


@dataclass(frozen=True, kw_only=True)
class CommandRFormat(JsonFormat):
    """Plans come before the word. To answer directly is what these models choose where they need no tool.

    No client could do that for them. So it is no call, and the answer follows, behind the word with which
    the model begins one once it has results.
    """

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        num_before = writer.num_calls
        yield from read_calls(reader, writer, partial(read_object, not_tools=frozenset(_DIRECTLY)))
        yield from reader.skip_space()
        yield from reader.accept(self.end)
        if writer.num_calls == num_before:
            yield from reader.skip_space()
            yield from reader.accept(_ANSWER)
            yield from reader.skip_space()
            writer.border()
            reader.forget()

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Actions behind any spelling of the word, or the choice to answer directly and an answer."""
        calls = repeated(self.any_call(lark, tools), lark.literal(self.separator), parallel=parallel)
        options = [f"{calls} {lark.literal(self.marks.end)}"]
        answer = lark.without(lark.terminal("(?s:.+)"), r"(?s:.*)Action:\s*```json(?s:.*)")
        for name in set(_DIRECTLY) - {tool.name for tool in tools}:
            call = self.call.replace("{name}", name).replace("{arguments}", "{}")
            options.append(f"{lark.literal(f'{call}{self.marks.end}{chr(10)}{_ANSWER}')} {answer}")
        actions = lark.rule(either(options))
        return f"{either([lark.literal(start) for start in self.starts()])} {actions}"
