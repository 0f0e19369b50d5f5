"""The parser of models that answer in Harmony: messages with headers that say for whom they are."""

import re

from caravan.chat.parsing.headed_parser import HeadedParser
from caravan.chat.parsing.incremental_reader import Markers, Sink, Steps
from caravan.chat.parsing.tag_parser import attempt
from caravan.chat.tool_formats.harmony import RECIPIENT, HarmonyFormat
from caravan.chat.tool_formats.raw_code import code_tool, read_code
from caravan.chat.tool_formats.tool_spec import ToolSpec

_FORMAT = HarmonyFormat()
_OPENERS = ("<|start|>", "<|channel|>")
_ENDS = ("<|end|>", "<|return|>", "<|call|>")
_MARKS = Markers(*_OPENERS, *_ENDS)
_HEADER_ENDS = Markers("<|message|>", RECIPIENT)
_MESSAGE = Markers("<|message|>")
_PYTHON = "to=python"
_TO_PYTHON = re.compile(rf"\b{_PYTHON}\b(?!\.)")
_ANALYSIS = re.compile(r"<\|channel\|>\s*analysis\b")


class HarmonyParser(HeadedParser):
    """What is analysed is reasoning; everything else is for the user, unless it is for a function.

    These models know a tool of their own for Python code. Its calls are those of a function that is called so
    and takes code.
    """

    frames = (
        ("<|channel|>analysis<|message|>", "<|end|>"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "<|end|>"),
        *((opener, "<|message|>") for opener in _OPENERS),
        *((end, "") for end in _ENDS),
    )

    def _run(self) -> Steps[None]:
        sink: Sink = self._writer.reasoning if self._is_open else self._writer.content
        # The prompt has begun a message, and its recipient may come first.
        recipients = (f" {RECIPIENT}", *([f" {_PYTHON}"] if self._code else []))
        begun = "" if self._is_open else (yield from self._reader.accept(*recipients))
        if begun == f" {_PYTHON}":
            yield from self._reader.until(_MESSAGE, lambda _: None)
            yield from self._read_code()
        elif begun:
            yield from self._read_call()
        while mark := (yield from self._reader.until(_MARKS, sink)):
            self._writer.border()
            sink = (yield from self._read_header(mark)) if mark in _OPENERS else self._writer.content

    def _read_header(self, mark: str) -> Steps[Sink]:
        """Where the text behind a header goes."""
        pieces = [mark]
        if (yield from self._reader.until(_HEADER_ENDS, pieces.append)) == RECIPIENT:
            yield from self._read_call()
            return self._writer.content
        if self._code and _TO_PYTHON.search("".join(pieces)):
            yield from self._read_code()
            return self._writer.content
        is_analysis = _ANALYSIS.search("".join(pieces)) is not None
        return self._writer.reasoning if is_analysis else self._writer.content

    @property
    def _code(self) -> tuple[ToolSpec, str] | None:
        code = code_tool(list(self._writer.tools.values()))
        return code if code is not None and f"to={code[0].name}" == _PYTHON else None

    def _read_code(self) -> Steps[None]:
        assert self._code is not None
        calls = read_code(self._reader, self._writer, *self._code, ends=_ENDS)
        yield from attempt(self._reader, self._writer, calls)

    def _read_call(self) -> Steps[None]:
        yield from attempt(self._reader, self._writer, _FORMAT.read(self._reader, self._writer))
