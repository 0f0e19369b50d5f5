"""Harmony: answers are messages with headers that say for whom they are; calls are messages to a function."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.incremental_reader import Markers, Reader, Sink, Steps
from caravan.chat.parsing.literals import copy_object
from caravan.chat.parsing.stream_parser import attempt
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.lark_writer import LarkWriter, either
from caravan.chat.tool_formats.raw_code import code_tool, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec

_RECIPIENT = "to=functions."
_HEAD = f"<|channel|>commentary {_RECIPIENT}"
_MESSAGE = "<|message|>"
_OPENERS = ("<|start|>", "<|channel|>")
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_MARKS = Markers(*_OPENERS, *_ENDS)
_HEADER_ENDS = Markers(_MESSAGE, _RECIPIENT)
_NAME = re.compile(r"[^\s<]*")
_PYTHON = "to=python"
_TO_PYTHON = re.compile(rf"\b{_PYTHON}\b(?!\.)")
_ANALYSIS = re.compile(r"<\|channel\|>\s*analysis\b")


@dataclass(frozen=True, kw_only=True)
class HarmonyFormat(ToolFormat):
    """What is analysed is reasoning; everything else is for the user, unless it is for a function.

    The recipient may stand before or after the channel; grammars write it after. A message is one call. These
    models know a tool of their own for Python code. Its calls are those of a function that is called so and
    takes code.
    """

    markers: tuple[str, ...] = (*_OPENERS, "<|constrain|>", _MESSAGE, *_ENDS)
    triggers: tuple[str, ...] = (_HEAD, f"<|start|>assistant{_HEAD}", f"<|start|>assistant {_RECIPIENT}")
    frames: tuple[tuple[str, str], ...] = (
        (f"<|channel|>analysis{_MESSAGE}", "<|end|>"),
        (f"<|start|>assistant<|channel|>analysis{_MESSAGE}", "<|end|>"),
        *((opener, _MESSAGE) for opener in _OPENERS),
        *((end, "") for end in _ENDS),
    )

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read a call from the function's name on."""
        name = yield from reader.collect(_NAME)
        writer.check_name(name)
        yield from reader.text_before(_MESSAGE)
        writer.start_call(name)
        yield from copy_object(reader, writer.arguments)
        writer.end_call()
        reader.forget()

    def read_answer(self, reader: Reader, writer: EventWriter, *, is_open: bool) -> Steps[None]:
        """Read messages; the prompt has begun the first, and its recipient may come first."""
        sink: Sink = writer.reasoning if is_open else writer.content
        recipients = [f" {_RECIPIENT}", *([f" {_PYTHON}"] if _python(writer) else [])]
        begun = "" if is_open else (yield from reader.accept(*recipients))
        if begun == f" {_PYTHON}":
            yield from reader.until(Markers(_MESSAGE), lambda _: None)
            yield from _read_code(reader, writer)
        elif begun:
            yield from attempt(reader, writer, self.read(reader, writer))
        while mark := (yield from reader.until(_MARKS, sink)):
            writer.border()
            is_header = mark in _OPENERS
            sink = (yield from self._read_header(reader, writer, mark)) if is_header else writer.content

    def _read_header(self, reader: Reader, writer: EventWriter, mark: str) -> Steps[Sink]:
        """Read a header, and the message if it is a call; where the text behind it goes."""
        pieces = [mark]
        if (yield from reader.until(_HEADER_ENDS, pieces.append)) == _RECIPIENT:
            yield from attempt(reader, writer, self.read(reader, writer))
            return writer.content
        header = "".join(pieces)
        if _TO_PYTHON.search(header) and _python(writer):
            yield from _read_code(reader, writer)
            return writer.content
        return writer.reasoning if _ANALYSIS.search(header) else writer.content

    def rules(self, lark: LarkWriter, tools: Sequence[ToolSpec], *, parallel: bool) -> str:  # noqa: ARG002
        """One message, with its recipient behind the channel or before it."""
        after = [
            f"{lark.literal(f'{tool.name} <|constrain|>json{_MESSAGE}')} {lark.arguments(tool)}"
            for tool in tools
        ]
        before = [
            f"{lark.literal(f'{tool.name}<|channel|>commentary json{_MESSAGE}')} {lark.arguments(tool)}"
            for tool in tools
        ]
        start = lark.literal("<|start|>assistant")
        return (
            f"({start})? {lark.literal(_HEAD)} {lark.rule(either(after))}"
            f" | {start} {lark.literal(f' {_RECIPIENT}')} {lark.rule(either(before))}"
        )


def _python(writer: EventWriter) -> tuple[ToolSpec, str] | None:
    """The function that takes the code which these models write, and its argument."""
    code = code_tool(list(writer.tools.values()))
    return code if code is not None and f"to={code[0].name}" == _PYTHON else None


def _read_code(reader: Reader, writer: EventWriter) -> Steps[None]:
    code = _python(writer)
    assert code is not None
    yield from attempt(reader, writer, read_code(reader, writer, *code, ends=_ENDS))
