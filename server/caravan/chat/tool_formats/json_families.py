"""JSON calls with habits of their own: Mistral, Command R, Llama 3; and for models that know no tools."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Reader, RejectedError, Steps
from caravan.chat.rendering.call_text import CallText
from caravan.chat.tool_formats.json_calls import JsonFormat, read_calls, read_object
from caravan.chat.tool_formats.lark_writer import LarkWriter, either, repeated
from caravan.chat.tool_formats.marked_calls import MarkedFormat
from caravan.chat.tool_formats.parameters import accepts_any, declared
from caravan.chat.tool_formats.pythonic import arguments_rule, read_arguments
from caravan.chat.tool_formats.raw_code import TAG, code_rule, code_tool, is_code, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec

_LIST = JsonFormat(name="list", around="[TOOL_CALLS][{calls}]", separator=", ")
_ID, _ARGUMENTS = "[CALL_ID]", "[ARGS]"
_NAME = re.compile(r"[^\s\[{]*")
_ID_TEXT = re.compile(r"[A-Za-z0-9]*")
_DIRECTLY = ("directly_answer", "directly-answer")
_ANSWER = "Answer:"
_TEXT = '{"response": "text"}'
_INTRODUCTION = f"""\
# Tools

You may call these functions, which are described in JSON:

{{tools}}

Respond in JSON, either with `tool_calls` to call a function:

{{example}}

or with `response` and plain text to answer the user:

{_TEXT}
..."""


@dataclass(frozen=True, kw_only=True)
class MistralFormat(MarkedFormat):
    """At first a list behind one marker, since 2025 a marker, a name and JSON for each call.

    Both are read. Grammars write a list with `is_list`, without the ids that may follow there.
    """

    markers: tuple[str, ...] = ("[TOOL_CALLS]", _ID, _ARGUMENTS)
    call: str = "[TOOL_CALLS]{name}[ARGS]{arguments}"
    is_list: bool = False

    def call_text(self) -> CallText:
        """As grammars write it."""
        return _LIST.call_text() if self.is_list else super().call_text()

    def read_calls(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read a list, or one call."""
        yield from reader.skip_space()
        if (yield from reader.peek()) in ("[", "{"):
            yield from read_calls(reader, writer, read_object)
        else:
            yield from super().read_calls(reader, writer)

    def read_head(self, reader: Reader, writer: EventWriter) -> Steps[tuple[str, str | None]]:  # noqa: ARG002
        """Read a name; the id and the last mark may be missing."""
        name = yield from reader.collect(_NAME)
        call_id = None
        if (yield from reader.accept(_ID)):
            call_id = (yield from reader.collect(_ID_TEXT)) or None
        yield from reader.accept(_ARGUMENTS)
        return name, call_id

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """A list of objects, or calls one after another."""
        if not self.is_list:
            return super().rules(lark, tools, parallel=parallel)
        return _LIST.rules(lark, tools, parallel=parallel)

    def call_rule(self, lark: LarkWriter, tool: ToolSpec) -> str:
        """One call, with an id or without."""
        call_id = f"({lark.literal(_ID)} {lark.terminal('[A-Za-z0-9]{9}')})?"
        head = lark.literal(self.marks.call_open + tool.name)
        return f"{head} {call_id} {lark.literal(_ARGUMENTS)} {lark.arguments(tool)}"


@dataclass(frozen=True, kw_only=True)
class CommandRFormat(JsonFormat):
    """A list of actions behind a word, and before that a plan. To answer directly is an
    action, too, which these models choose where they need no tool.

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


@dataclass(frozen=True, kw_only=True)
class LlamaFormat(JsonFormat):
    """JSON, and behind a mark also built-in tools by name and arguments, or nothing but code.

    `<|python_tag|>NAME.call(key="text")` is how templates show built-in tools, with texts as arguments.
    """

    def read_after(self, trigger: str, reader: Reader, writer: EventWriter) -> Steps[None]:  # noqa: ARG002
        """JSON, a built-in call, or code."""
        tools = list(writer.tools.values())
        if not (yield from is_code(reader)):
            yield from self.read(reader, writer)
            return
        heads = {f"{tool.name}.call(": tool.name for tool in tools if _is_built_in(tool)}
        code = code_tool(tools)
        head = (yield from reader.accept(*heads)) if heads else ""
        if head:
            yield from read_arguments(reader, writer, heads[head])
        elif code is not None:
            yield from read_code(reader, writer, *code)
        else:
            raise RejectedError

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        built_in = [tool for tool in tools if _is_built_in(tool)]
        heads = [f"{tool.name}.call(" for tool in built_in]
        options = [
            f'{lark.literal(TAG)} {lark.literal(head)} {arguments_rule(lark, tool)} ")"'
            for head, tool in zip(heads, built_in, strict=True)
        ]
        if code_tool(tools) is not None:
            options.append(f"{lark.literal(TAG)} {code_rule(lark, heads)}")
        return either([super().free_rules(lark, tools, parallel=parallel), *options])


@dataclass(frozen=True, kw_only=True)
class GenericFormat(JsonFormat):
    """For models that know nothing of tools: a prompt tells of them, and an answer begins with one of two
    objects, for calls or for text. Even the smallest models choose then, who would go on in words else.

    The text follows the second object as it is: within a JSON string, it would be worse.
    """

    dropped: tuple[str, ...] = (_TEXT,)
    around: str = '{"tool_calls": [{calls}]}'
    separator: str = ", "
    chooses_first: bool = True

    def call_text(self) -> CallText:
        """With an introduction that tells of both."""
        return super().call_text()._replace(introduction=_INTRODUCTION)

    def free_rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:
        """Calls, or the mark and a text."""
        text = f"{self.literal(lark, _TEXT + chr(10))} {lark.terminal('(?s:.+)')}"
        return f"{self.rules(lark, tools, parallel=parallel)} | {text}"


def _is_built_in(tool: ToolSpec) -> bool:
    """Whether a template can show its calls so: it puts quotes around all arguments."""
    parameters = declared(tool)
    is_plain = tool.input_grammar is None and not accepts_any(tool)
    return is_plain and bool(parameters) and all(parameter.is_text for parameter in parameters)
