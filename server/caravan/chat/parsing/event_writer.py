"""From what parsers find to events: trims white space around thoughts and calls, counts calls."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta, Event
from caravan.chat.parsing.incremental_reader import RejectedError
from caravan.chat.tool_formats.tool_spec import ToolSpec

_SPACE = " \t\r\n"


class EventWriter:
    """The events of one answer.

    White space at the end of a text waits for what follows: nothing keeps it next to a thought or a call,
    where only the indentation of a first line remains.

    Without `bound`, the events of a call wait for its end, since until then it may turn out to be none.
    With it, a grammar vouches for the form of calls, and for the names in them.
    """

    def __init__(self, tools: Sequence[ToolSpec] = (), *, bound: bool = False) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.has_open_call = False
        self.is_bound = bound
        self._events: list[Event] = []
        self._waiting: list[Event] = []
        self._num_calls = 0
        self._channel = Channel.CONTENT
        self._space: list[str] = []
        self._is_fresh = False

    @property
    def num_calls(self) -> int:
        """The finished calls."""
        return self._num_calls

    def drain(self) -> list[Event]:
        """The events since the last time."""
        events, self._events = self._events, []
        return [_joined(list(group)) for _, group in itertools.groupby(events, _destination)]

    def content(self, text: str) -> None:
        self._write(Channel.CONTENT, text)

    def reasoning(self, text: str) -> None:
        self._write(Channel.REASONING, text)

    def border(self) -> None:
        """Here something ends or begins that needs no white space around it."""
        self._space.clear()
        self._is_fresh = True

    def finish(self) -> None:
        """No more text comes."""
        if not self._is_fresh and self._channel is Channel.CONTENT and self._space:
            self._events.append(Delta(Channel.CONTENT, "".join(self._space)))
        self._space.clear()

    def check_name(self, name: str) -> None:
        """Raises RejectedError if there is no such tool."""
        if not self.is_bound and name not in self.tools:
            raise RejectedError

    def start_call(self, name: str, call_id: str | None = None) -> None:
        """A call begins. Raises RejectedError if there is no such tool."""
        self.check_name(name)
        self.has_open_call = True
        self._call(CallStart(self._num_calls, name, call_id))

    def identify_call(self, call_id: str) -> None:
        """The open call's id, where it follows the arguments; too late if the call has been announced."""
        if self._waiting:
            start = self._waiting[0]
            assert isinstance(start, CallStart)
            self._waiting[0] = CallStart(start.index, start.name, call_id)

    def arguments(self, text: str) -> None:
        """A piece of the open call's arguments."""
        if text:
            self._call(CallArguments(self._num_calls, text))

    def end_call(self) -> None:
        self._events += self._waiting
        self._waiting.clear()
        self._num_calls += 1
        self.has_open_call = False
        self.border()

    def abandon_call(self) -> bool:
        """Give the open call up. Returns whether the client has been told of it."""
        was_told = self.has_open_call and not self._waiting
        self._num_calls += was_told
        self._waiting.clear()
        self.has_open_call = False
        return was_told

    def _call(self, event: CallStart | CallArguments) -> None:
        if not self.is_bound:
            self._waiting.append(event)
            return
        if isinstance(event, CallStart):
            self.border()
        self._events.append(event)

    def _write(self, channel: Channel, text: str) -> None:
        if channel is not self._channel:
            self.border()
            self._channel = channel
        body = text.rstrip(_SPACE)
        if body:
            written = "".join(self._space) + body
            self._space.clear()
            if self._is_fresh:
                written = _without_empty_lines(written)
                self._is_fresh = False
            self._events.append(Delta(channel, written))
        if len(body) < len(text):
            self._space.append(text[len(body) :])


def _destination(event: Event) -> object:
    """Get a key that is equal for pieces of one text."""
    if isinstance(event, CallStart):
        return event
    return event.channel if isinstance(event, Delta) else event.index


def _joined(pieces: list[Event]) -> Event:
    first = pieces[0]
    if isinstance(first, CallStart) or len(pieces) == 1:
        return first
    return replace(first, text="".join(piece.text for piece in pieces if not isinstance(piece, CallStart)))


def _without_empty_lines(text: str) -> str:
    """The first line that is not empty keeps its indentation."""
    space = text[: len(text) - len(text.lstrip(_SPACE))]
    return text[space.rfind("\n") + 1 :]
