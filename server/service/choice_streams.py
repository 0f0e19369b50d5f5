"""One choice into the data of its chunks, as its text comes; what never changes in them is encoded once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from schemas.base import Schema
from schemas.chat import ChatFinishReason
from schemas.common import FinishReason
from schemas.debug import Debug
from server.chat.stream_parser import CallArguments, CallStart, Channel, Delta, Event
from server.service.reading import Reading
from server.service.reply import ReplyReader
from server.service.wire import head_and_tail, json_string, to_json


class ChoiceStream(Protocol):
    """What a choice sends after its opening."""

    def feed(self, text: str) -> Sequence[bytes]:
        """What a piece of text brings."""

    def close(self, reason: FinishReason, debug: Debug | None) -> Sequence[bytes]:
        """What is left, and the end."""

    @property
    def content(self) -> str | None:
        """All content that was sent; None where a call was."""


class PlainStream:
    """A choice whose text is its content."""

    def __init__(
        self, delta: Callable[[str], Schema], closing: Callable[[FinishReason, Debug | None], Schema]
    ) -> None:
        self._delta = delta
        self._closing = closing
        self._head: bytes | None = None
        self._tail = b""
        self._texts: list[str] = []

    def feed(self, text: str) -> Sequence[bytes]:
        """One chunk."""
        self._texts.append(text)
        if self._head is None:
            self._head, self._tail = head_and_tail(self._delta)
        return (self._head + json_string(text) + self._tail,)

    def close(self, reason: FinishReason, debug: Debug | None) -> Sequence[bytes]:
        """The reason."""
        return (to_json(self._closing(reason, debug)),)

    @property
    def content(self) -> str:
        """All text."""
        return "".join(self._texts)


class ParsedStream:
    """A choice whose text may hold a thought and calls; `event` is told whether it is of a custom tool."""

    def __init__(
        self,
        reading: Reading,
        event: Callable[[Event, bool], Schema],
        closing: Callable[[ChatFinishReason, Debug | None], Schema],
    ) -> None:
        self._reading = reading
        self._event = event
        self._closing = closing
        self._reader = ReplyReader(reading)
        self._heads: dict[Channel | int, tuple[bytes, bytes]] = {}
        self._contents: list[str] = []
        self._has_calls = False
        self._custom: set[int] = set()

    def feed(self, text: str) -> Sequence[bytes]:
        """A chunk for each event that is certain by now."""
        return [self._chunk(event) for event in self._reader.feed(text)]

    def close(self, reason: FinishReason, debug: Debug | None) -> Sequence[bytes]:
        """The last events and the reason; content is a text, if an empty one, where there is no call."""
        chunks = [self._chunk(event) for event in self._reader.finish()]
        if not self._contents and not self._has_calls:
            chunks.append(self._chunk(Delta(Channel.CONTENT, "")))
        chunks.append(to_json(self._closing(self._reading.reason(reason, has_calls=self._has_calls), debug)))
        return chunks

    @property
    def content(self) -> str | None:
        """All content that was sent; None where a call was."""
        return None if self._has_calls else "".join(self._contents)

    def _chunk(self, event: Event) -> bytes:
        if isinstance(event, CallStart):
            self._has_calls = True
            is_custom = event.name in self._reading.custom_names
            if is_custom:
                self._custom.add(event.index)
            return to_json(self._event(event, is_custom))
        if isinstance(event, Delta) and event.channel is Channel.CONTENT:
            self._contents.append(event.text)
        key = event.index if isinstance(event, CallArguments) else event.channel
        if key not in self._heads:
            is_custom = key in self._custom
            self._heads[key] = head_and_tail(lambda text: self._event(replace(event, text=text), is_custom))
        head, tail = self._heads[key]
        return head + json_string(event.text) + tail
