"""The parser of answers: a thought between tags, and then text with calls in it; or messages with headers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caravan.chat.parsing.event_writer import EventWriter
from caravan.chat.parsing.events import Event
from caravan.chat.parsing.incremental_reader import SPACE, Markers, Reader, RejectedError, Steps
from caravan.chat.tool_formats.tool_spec import ToolSpec

if TYPE_CHECKING:
    from caravan.chat.tool_formats.base import ToolFormat


@dataclass(frozen=True, slots=True)
class ReasoningMarkers:
    """Where thoughts begin and end; `dropped` are marks around the answer that are not part of it."""

    start: str
    end: str
    dropped: tuple[str, ...] = ()


class StreamParser:
    """Text in, in any pieces; events out. However the text is split, the joined events are the same.

    A generator reads the answer, and pauses where its text ends so far.
    """

    def __init__(
        self,
        read: Callable[[Reader, EventWriter], Steps[None]],
        tools: Sequence[ToolSpec] = (),
        *,
        bound: bool = False,
    ) -> None:
        self._reader = Reader()
        self._writer = EventWriter(tools, bound=bound)
        self._steps = read(self._reader, self._writer)
        next(self._steps, None)

    def feed(self, text: str) -> list[Event]:
        """Take a text in, and get the events that are certain now."""
        if text:
            self._reader.feed(text)
            next(self._steps, None)
        return self._writer.drain()

    def finish(self) -> list[Event]:
        """Get the events that were held back: no more text comes."""
        self._reader.end()
        next(self._steps, None)
        self._writer.finish()
        return self._writer.drain()


@dataclass(frozen=True, slots=True)
class TaggedAnswer:
    """Reads an answer whose very beginning can be a thought; markers of calls inside one mean nothing.

    With `is_open`, the prompt has begun the thought. Without tools, the format's marks mean nothing.
    """

    reasoning: ReasoningMarkers | None
    tool_format: "ToolFormat | None"
    is_open: bool = False

    def read(self, reader: Reader, writer: EventWriter) -> Steps[None]:
        """Read the whole answer."""
        tools = list(writer.tools.values())
        form = self.tool_format if tools else None
        yield from reader.run(SPACE, writer.content)
        if self.reasoning and (self.is_open or (yield from reader.accept(self.reasoning.start))):
            yield from _read_thought(reader, writer, self.reasoning)
        if form and form.is_bare:
            yield from reader.run(SPACE, writer.content)
            # What else a grammar lets through is no call, whatever it looks like.
            beginning = form.beginning(tools) if writer.is_bound else None
            if beginning is None or (yield from reader.begins(beginning)):
                yield from attempt(reader, writer, form.read(reader, writer))
        yield from self._read_text(reader, writer, form)

    def _read_text(self, reader: Reader, writer: EventWriter, form: "ToolFormat | None") -> Steps[None]:
        """Read text with calls in it, up to the end."""
        dropped = (
            *(self.reasoning.dropped if self.reasoning else ()),
            *(self.tool_format.dropped if self.tool_format else ()),
        )
        calls = form.announcements(list(writer.tools.values())) if form else ()
        markers = Markers(*calls, *dropped)
        is_chosen = form is not None and form.chooses_first and writer.is_bound

        def content(text: str) -> None:
            if not writer.num_calls:
                reader.keeps_unfinished = True
            writer.content(text)

        if is_chosen:
            # The answer begins with a mark; a part of one is no text.
            reader.keeps_unfinished = False
        while marker := (yield from reader.until(markers, content)):
            if marker in dropped:
                writer.border()
                if is_chosen:
                    # Nothing binds what looks like a call in it.
                    markers = Markers(*dropped)
            elif form:
                yield from attempt(reader, writer, form.read_after(marker, reader, writer), marker)


def _read_thought(reader: Reader, writer: EventWriter, markers: ReasoningMarkers) -> Steps[None]:
    """Read a thought; a model may repeat the mark with which the prompt began it."""
    writer.border()
    yield from reader.run(SPACE, writer.reasoning)
    if (yield from reader.accept(markers.start)):
        writer.border()
    yield from reader.until(Markers(markers.end), writer.reasoning)
    writer.border()


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
