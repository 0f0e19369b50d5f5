"""One choice into the data of its chunks, as its text comes; what never changes in them is encoded once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from caravan_schemas.base import Schema
from caravan_schemas.chat import ChatFinishReason
from caravan_schemas.common import FinishReason
from caravan_schemas.debug import Debug

from caravan.api.output.encoding import head_and_tail, json_string, to_json
from caravan.api.output.output_format import OutputFormat
from caravan.api.output.parsed_choice import ChoiceParser
from caravan.api.output.token_details import NOTHING, TokenDetails
from caravan.api.structured.checker import ParsedAnswer
from caravan.chat.parsing.events import CallArguments, CallStart, Channel, Delta, Event


class ChoiceStream(Protocol):
    """What a choice sends after its opening."""

    def feed(self, text: str, details: TokenDetails) -> Sequence[bytes]:
        """What a piece of text brings, with the details of its tokens."""

    def close(self, reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Sequence[bytes]:
        """What is left, and the end, with the details of tokens that came to no text."""

    @property
    def said(self) -> ParsedAnswer:
        """All that was sent, once it has ended."""


class PlainStream:
    """A choice whose text is its content."""

    def __init__(
        self,
        delta: Callable[[str, TokenDetails], Schema],
        closing: Callable[[FinishReason, Debug | None, TokenDetails], Schema],
    ) -> None:
        self._delta = delta
        self._closing = closing
        self._head: bytes | None = None
        self._tail = b""
        self._texts: list[str] = []

    def feed(self, text: str, details: TokenDetails) -> Sequence[bytes]:
        """One chunk."""
        self._texts.append(text)
        if details:
            return (to_json(self._delta(text, details)),)
        if self._head is None:
            self._head, self._tail = head_and_tail(lambda mark: self._delta(mark, NOTHING))
        return (self._head + json_string(text) + self._tail,)

    def close(self, reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Sequence[bytes]:
        """The reason."""
        return (to_json(self._closing(reason, debug, details)),)

    @property
    def said(self) -> ParsedAnswer:
        """All text."""
        return ParsedAnswer("".join(self._texts))


class ParsedStream:
    """A choice whose text may hold a thought and calls; `event` is told whether it is of a custom tool.

    Details of tokens go into the first chunk that comes of them or after them.
    """

    def __init__(
        self,
        output_format: OutputFormat,
        event: Callable[[Event, bool, TokenDetails], Schema],
        closing: Callable[[ChatFinishReason, Debug | None, TokenDetails], Schema],
    ) -> None:
        self._output_format = output_format
        self._event = event
        self._closing = closing
        self._reader = ChoiceParser(output_format)
        self._heads: dict[Channel | int, tuple[bytes, bytes]] = {}
        self._has_content = False
        self._custom: set[int] = set()
        self._details = NOTHING

    def feed(self, text: str, details: TokenDetails) -> Sequence[bytes]:
        """A chunk for each event that is certain by now."""
        self._details += details
        return [self._chunk(event) for event in self._reader.feed(text)]

    def close(self, reason: FinishReason, debug: Debug | None, details: TokenDetails) -> Sequence[bytes]:
        """The last events and the reason; content is a text, if an empty one, where there is no call."""
        chunks = [self._chunk(event) for event in self._reader.finish()]
        if not self._has_content and not self._reader.calls:
            chunks.append(self._chunk(Delta(Channel.CONTENT, "")))
        reason_said = self._output_format.reason(reason, has_whole_calls=self._reader.has_whole_calls)
        chunks.append(to_json(self._closing(reason_said, debug, self._details + details)))
        return chunks

    @property
    def said(self) -> ParsedAnswer:
        """Content and calls."""
        return self._reader.said

    def _chunk(self, event: Event) -> bytes:
        details, self._details = self._details, NOTHING
        if isinstance(event, CallStart):
            if event.name in self._output_format.custom_names:
                self._custom.add(event.index)
            return to_json(self._event(event, event.index in self._custom, details))
        if isinstance(event, Delta) and event.channel is Channel.CONTENT:
            self._has_content = True
        key = event.index if isinstance(event, CallArguments) else event.channel
        is_custom = key in self._custom
        if details:
            return to_json(self._event(event, is_custom, details))
        if key not in self._heads:
            self._heads[key] = head_and_tail(
                lambda mark: self._event(replace(event, text=mark), is_custom, NOTHING)
            )
        head, tail = self._heads[key]
        return head + json_string(event.text) + tail
