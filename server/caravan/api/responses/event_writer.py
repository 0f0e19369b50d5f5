"""The text of a model into the events of a response; the response itself is what they add up to."""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from caravan_schemas.common import Debug, FinishReason
from caravan_schemas.responses_answers import (
    FaultCode,
    IncompleteDetails,
    Response,
    ResponseFault,
    ResponseUsage,
)
from caravan_schemas.responses_events import ErrorEvent, Event, EventKind, ResponseEvent
from caravan_schemas.responses_items import ItemStatus
from caravan_schemas.responses_output import OutputItem

from caravan.api.output.logprobs import LogprobWriter
from caravan.api.output.parsed_choice import AnswerReader, OutputFormat
from caravan.api.responses.output_items import OpenCall, OpenItem, OpenMessage, OpenReasoning
from caravan.api.responses.snapshot import new_id
from caravan.api.responses.tools import InSpace
from caravan.chat.parsing.events import CallArguments, CallStart, Channel
from caravan.chat.parsing.events import Event as TextEvent
from caravan.engine.outputs import TokenLogprob
from caravan.errors import CaravanError, InvalidRequestError


class ResponseWriter:
    """Turns one answer's text into events. `response` is its state; it has its output once it has ended.

    White space alone, as models put between calls, makes no message. Only messages have log probabilities;
    those of a token go with the first text that comes of it or after it. `spaces` has the tools of namespaces
    by the names that the model calls them by. Call `begin` first, then `start`, then `write` for what
    `reader` finds in each piece of text, then `end`, `fail` or `cancel`.
    """

    def __init__(self, response: Response, spaces: Mapping[str, InSpace]) -> None:
        self.response = response
        self._spaces = spaces
        self._reading: OutputFormat | None = None
        self.reader = AnswerReader(None)
        self._writer: LogprobWriter | None = None
        self._numbers = itertools.count()
        self._items: list[OutputItem] = []
        self._open: OpenItem | None = None
        self._blank = ""
        self._logprobs: list[TokenLogprob] = []

    def begin(self) -> Iterator[Event]:
        """The first events: the response exists."""
        yield self._event("response.created")
        if self.response.background:
            yield self._event("response.queued")

    def start(self, reading: OutputFormat | None, logprobs: LogprobWriter | None = None) -> Iterator[Event]:
        """The event when the model begins. `reading` tells how its text is parsed."""
        self._reading, self._writer = reading, logprobs
        self.reader = AnswerReader(reading)
        self._change(status="in_progress")
        yield self._event("response.in_progress")

    def write(self, events: Iterable[TextEvent], logprobs: Sequence[TokenLogprob] = ()) -> Iterator[Event]:
        """The events of what has been parsed, of tokens with these log probabilities."""
        if self._writer is not None:
            self._logprobs.extend(logprobs)
        for event in events:
            yield from self._written(event)

    def end(self, reason: FinishReason, usage: ResponseUsage, debug: Debug | None = None) -> Iterator[Event]:
        """The last events of an answer. An answer without any item gets an empty message."""
        if self._open is None and not self._items:
            yield from self._text(self._blank)
        is_complete = reason == "stop"
        if self._open is not None:
            yield from self._open.end("completed" if is_complete else "incomplete")
        self._close("completed" if is_complete else "incomplete")
        self._change(status="completed" if is_complete else "incomplete", usage=usage, output=self._items)
        if debug is not None:
            self._change(debug=debug)
        if is_complete:
            self._change(completed_at=int(time.time()))
            yield self._event("response.completed")
        else:
            self._change(incomplete_details=IncompleteDetails(reason="max_output_tokens"))
            yield self._event("response.incomplete")

    def fail(self, error: CaravanError) -> Iterator[Event]:
        """The last event of a response that failed."""
        self._close("incomplete")
        code: FaultCode = "invalid_prompt" if isinstance(error, InvalidRequestError) else "server_error"
        fault = ResponseFault(code=code, message=error.message)
        self._change(status="failed", error=fault, output=self._items)
        yield self._event("response.failed")

    def cancel(self) -> Iterator[Event]:
        """The last event of a response that was cancelled. OpenAI has no event for it."""
        self._close("incomplete")
        self._change(status="cancelled", output=self._items)
        yield ErrorEvent(
            type="error",
            sequence_number=next(self._numbers),
            code="response_cancelled",
            message="The response was cancelled.",
            param=None,
        )

    def _written(self, event: TextEvent) -> Iterator[Event]:
        if isinstance(event, CallStart):
            yield from self._call(event)
        elif isinstance(event, CallArguments):
            assert isinstance(self._open, OpenCall)
            yield self._open.grow(event.text)
        elif event.channel is Channel.REASONING:
            yield from self._thought(event.text)
        elif isinstance(self._open, OpenMessage) or (self._blank + event.text).strip():
            yield from self._text(self._blank + event.text)
        else:
            self._blank += event.text

    def _text(self, text: str) -> Iterator[Event]:
        if not isinstance(self._open, OpenMessage):
            message = OpenMessage(self._next_index, self._number)
            yield from self._opened(message)
        assert isinstance(self._open, OpenMessage)
        self._blank = ""
        if text:
            logprobs, self._logprobs = self._logprobs, []
            yield self._open.grow(text, self._writer.chat(logprobs).content if self._writer else ())

    def _thought(self, text: str) -> Iterator[Event]:
        self._drop()
        if not isinstance(self._open, OpenReasoning):
            summed_up = self.response.reasoning.summary is not None
            yield from self._opened(OpenReasoning(self._next_index, self._number, summed_up=summed_up))
        assert isinstance(self._open, OpenReasoning)
        yield from self._open.grow(text)

    def _call(self, event: CallStart) -> Iterator[Event]:
        self._drop()
        space = self._spaces.get(event.name)
        name = {"name": event.name} if space is None else {"name": space.name, "namespace": space.namespace}
        yield from self._opened(
            OpenCall(
                self._next_index,
                self._number,
                event.id or new_id("call"),
                name,
                is_custom=self._reading is not None and event.name in self._reading.custom_names,
            )
        )

    def _opened(self, item: OpenItem) -> Iterator[Event]:
        if self._open is not None:
            yield from self._open.end("completed")
        self._close("completed")
        self._open = item
        yield from item.begin()

    def _close(self, status: ItemStatus) -> None:
        if self._open is not None:
            self._items.append(self._open.item(status))
        self._open = None

    def _drop(self) -> None:
        """Forget white space and log probabilities that belong to no message."""
        self._blank = ""
        self._logprobs.clear()

    @property
    def _next_index(self) -> int:
        return len(self._items) + (self._open is not None)

    def _number(self) -> int:
        return next(self._numbers)

    def _change(self, **fields: object) -> None:
        self.response = self.response.model_copy(update=fields)

    def _event(self, kind: EventKind) -> Event:
        return ResponseEvent(type=kind, sequence_number=self._number(), response=self.response)
