"""The parser of models whose answers are thoughts first, between tags, and then text with calls in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.events import Event
from caravan.chat.parsing.incremental_reader import SPACE, Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.base import ToolFormat
from caravan.chat.tool_formats.tool_spec import ToolSpec


@dataclass(frozen=True, slots=True)
class ReasoningMarkers:
    """Where thoughts begin and end; `dropped` are marks around the answer that are not part of it."""

    start: str
    end: str
    dropped: tuple[str, ...] = ()


class TagParser:
    """Implements StreamParser.

    Only the very beginning of an answer can be a thought, and markers of calls inside one mean nothing.
    With `is_open`, the prompt has begun it.
    """

    def __init__(
        self,
        reasoning: ReasoningMarkers | None,
        tool_format: ToolFormat | None,
        tools: Sequence[ToolSpec] = (),
        *,
        is_open: bool = False,
        bound: bool = False,
    ) -> None:
        self._reasoning = reasoning
        self._format = tool_format if tools else None
        self._dropped = (
            *(reasoning.dropped if reasoning else ()),
            *(tool_format.dropped if tool_format else ()),
        )
        self._is_open = is_open
        self._reader = Reader()
        self._writer = EventWriter(tools, bound=bound)
        # What else the grammar lets through is no call, whatever it looks like.
        self._beginning = self._format.beginning(tools) if self._format and bound else None
        self._steps = self._run()
        self._advance()

    def feed(self, text: str) -> list[Event]:
        if text:
            self._reader.feed(text)
            self._advance()
        return self._writer.drain()

    def finish(self) -> list[Event]:
        self._reader.end()
        self._advance()
        self._writer.finish()
        return self._writer.drain()

    def _advance(self) -> None:
        next(self._steps, None)

    def _run(self) -> Steps[None]:
        yield from self._reader.run(SPACE, self._writer.content)
        if self._reasoning and (self._is_open or (yield from self._reader.accept(self._reasoning.start))):
            yield from self._read_thought(self._reasoning)
        if self._format and self._format.is_bare:
            yield from self._reader.run(SPACE, self._writer.content)
            if self._beginning is None or (yield from self._reader.begins(self._beginning)):
                yield from attempt(self._reader, self._writer, self._format.read(self._reader, self._writer))
        yield from self._read_answer()

    def _read_thought(self, markers: ReasoningMarkers) -> Steps[None]:
        """A thought; a model may repeat the mark with which the prompt began it."""
        self._writer.border()
        yield from self._reader.run(SPACE, self._writer.reasoning)
        if (yield from self._reader.accept(markers.start)):
            self._writer.border()
        yield from self._reader.until(Markers(markers.end), self._writer.reasoning)
        self._writer.border()

    def _read_answer(self) -> Steps[None]:
        tools = list(self._writer.tools.values())
        triggers = self._format.announcements(tools) if self._format else ()
        markers = Markers(*triggers, *self._dropped)
        while marker := (yield from self._reader.until(markers, self._writer.content)):
            if marker in self._dropped:
                self._writer.border()
            elif self._format:
                calls = self._format.read_after(marker, self._reader, self._writer)
                yield from attempt(self._reader, self._writer, calls, marker)


def attempt(reader: Reader, writer: EventWriter, calls: Steps[None], before: str = "") -> Steps[None]:
    """Read calls; what turns out to be none is content, together with the text that led to it.

    Where a grammar binds them, what is cut off before it can be told is still a call, and nothing is told.
    """
    reader.taken, reader.is_starved = [before], False
    was_told = True
    try:
        yield from calls
    except RejectedError:
        was_told = writer.abandon_call()
        if not was_told and not (writer.is_bound and reader.is_starved):
            writer.content("".join(reader.taken))
    finally:
        reader.taken = None
    if not writer.is_bound:
        return
    if was_told:
        reader.keeps_unfinished = False
    if reader.is_starved:
        writer.border()
        reader.drop_rest()
