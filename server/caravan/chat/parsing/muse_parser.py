"""The parser of models whose messages say for whom they are: themselves, the user, or a tool."""

import re

from caravan.chat.parsing.headed_parser import HeadedParser
from caravan.chat.parsing.incremental_reader import Markers, Sink, Steps
from caravan.chat.parsing.tag_parser import attempt
from caravan.chat.tool_formats.muse import ENDS, MESSAGE, START, MuseFormat

_FORMAT = MuseFormat()
_HEADER_STARTS = (" to=", "to=", MESSAGE)
_HEADER_END = Markers(MESSAGE)
_TO_ITSELF = re.compile(r"\bto=self\b")


class MuseParser(HeadedParser):
    """What a model tells itself is reasoning, and calls in it mean nothing."""

    frames = (
        (f"{START}assistant to=self{MESSAGE}", ENDS[0]),
        (START, MESSAGE),
        *((mark, "") for mark in (f" to=user{MESSAGE}", f"to=user{MESSAGE}", *ENDS)),
    )

    def _run(self) -> Steps[None]:
        is_thought = self._is_open
        # The prompt has begun the first message, up to its header.
        if not is_thought and (begun := (yield from self._reader.accept(*_HEADER_STARTS))):
            is_thought = yield from self._read_header(begun)
        calls = _FORMAT.triggers if self._writer.tools else ()
        thoughts, answers = Markers(START, *ENDS), Markers(START, *ENDS, *calls)
        while True:
            sink: Sink = self._writer.reasoning if is_thought else self._writer.content
            mark = yield from self._reader.until(thoughts if is_thought else answers, sink)
            if not mark:
                return
            if mark in calls:
                yield from attempt(self._reader, self._writer, _FORMAT.read(self._reader, self._writer), mark)
                continue
            self._writer.border()
            is_thought = mark == START and (yield from self._read_header(mark))

    def _read_header(self, begun: str) -> Steps[bool]:
        """Whether a thought stands behind a header."""
        pieces = [begun]
        if begun != MESSAGE:
            yield from self._reader.until(_HEADER_END, pieces.append)
        self._writer.border()
        return _TO_ITSELF.search("".join(pieces)) is not None
