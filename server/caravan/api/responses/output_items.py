"""Items while they are written: each knows the events that it begins with, grows by and ends with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from caravan_schemas.logprobs import TokenLogprob
from caravan_schemas.responses_events import (
    ArgumentsDone,
    CallDelta,
    Event,
    EventLogprob,
    EventTopLogprob,
    InputDone,
    ItemEvent,
    PartEvent,
    ReasoningDelta,
    ReasoningDone,
    SummaryDelta,
    SummaryDone,
    SummaryPartEvent,
    TextDelta,
    TextDone,
)
from caravan_schemas.responses_items import ItemStatus, ReasoningText, SummaryText
from caravan_schemas.responses_output import (
    OutputCall,
    OutputCustomCall,
    OutputItem,
    OutputLogprob,
    OutputMessage,
    OutputReasoning,
    OutputText,
    OutputTopLogprob,
)

from caravan.api.responses.snapshot import new_id

Number = Callable[[], int]
E = TypeVar("E", bound=Event)


class _Item:
    """An item that may still grow. `number` gives each event its place in the stream."""

    def __init__(self, prefix: str, index: int, number: Number) -> None:
        self._id = new_id(prefix)
        self._index = index
        self._number = number
        self._texts: list[str] = []

    @property
    def _text(self) -> str:
        return "".join(self._texts)

    def _event(self, make: Callable[..., E], kind: str, **fields: object) -> E:
        """An event about the item, with its number and index."""
        return make(type=kind, sequence_number=self._number(), output_index=self._index, **fields)

    def _added(self, item: OutputItem) -> Event:
        return self._event(ItemEvent, "response.output_item.added", item=item)

    def _done(self, item: OutputItem) -> Event:
        return self._event(ItemEvent, "response.output_item.done", item=item)

    def _part(self, kind: str, part: OutputText | ReasoningText) -> Event:
        return self._event(
            PartEvent, f"response.content_part.{kind}", item_id=self._id, content_index=0, part=part
        )


class OpenMessage(_Item):
    """Text for the user, in one part."""

    def __init__(self, index: int, number: Number) -> None:
        super().__init__("msg", index, number)
        self._logprobs: list[TokenLogprob] = []

    def begin(self) -> Iterator[Event]:
        """The item without content, and its part without text."""
        yield self._added(self._message("in_progress", []))
        yield self._part("added", self._content())

    def grow(self, text: str, logprobs: Sequence[TokenLogprob]) -> Event:
        """More text."""
        self._texts.append(text)
        self._logprobs.extend(logprobs)
        return self._event(
            TextDelta,
            "response.output_text.delta",
            item_id=self._id,
            content_index=0,
            delta=text,
            logprobs=_event_logprobs(logprobs),
        )

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """The text, the part and the item as they have become."""
        content = self._content()
        yield self._event(
            TextDone,
            "response.output_text.done",
            item_id=self._id,
            content_index=0,
            text=content.text,
            logprobs=_event_logprobs(self._logprobs),
        )
        yield self._part("done", content)
        yield self._done(self._message(status, [content]))

    def item(self, status: ItemStatus) -> OutputItem:
        """The message so far."""
        return self._message(status, [self._content()])

    def _message(self, status: ItemStatus, content: list[OutputText]) -> OutputMessage:
        return OutputMessage(id=self._id, type="message", role="assistant", status=status, content=content)

    def _content(self) -> OutputText:
        logprobs = [_output_logprob(entry) for entry in self._logprobs]
        return OutputText(type="output_text", text=self._text, annotations=[], logprobs=logprobs)


class OpenReasoning(_Item):
    """A thought, in one part; if it is `summed_up`, in one part of the summary, too."""

    def __init__(self, index: int, number: Number, *, summed_up: bool) -> None:
        super().__init__("rs", index, number)
        self._summed_up = summed_up

    def begin(self) -> Iterator[Event]:
        """The item without content, and its parts without text."""
        yield self._added(self._reasoning("in_progress", is_empty=True))
        yield self._part("added", self._content())
        if self._summed_up:
            yield self._of_summary(SummaryPartEvent, "part.added", part=self._summary())

    def grow(self, text: str) -> Iterator[Event]:
        """More of the thought."""
        self._texts.append(text)
        kind = "response.reasoning_text.delta"
        yield self._event(ReasoningDelta, kind, item_id=self._id, content_index=0, delta=text)
        if self._summed_up:
            yield self._of_summary(SummaryDelta, "text.delta", delta=text)

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """The text, the parts and the item as they have become."""
        content = self._content()
        kind = "response.reasoning_text.done"
        yield self._event(ReasoningDone, kind, item_id=self._id, content_index=0, text=content.text)
        yield self._part("done", content)
        if self._summed_up:
            yield self._of_summary(SummaryDone, "text.done", text=content.text)
            yield self._of_summary(SummaryPartEvent, "part.done", part=self._summary())
        yield self._done(self._reasoning(status))

    def item(self, status: ItemStatus) -> OutputItem:
        """The thought so far."""
        return self._reasoning(status)

    def _reasoning(self, status: ItemStatus, *, is_empty: bool = False) -> OutputReasoning:
        summary = [self._summary()] if self._summed_up and not is_empty else []
        content = [] if is_empty else [self._content()]
        return OutputReasoning(id=self._id, type="reasoning", status=status, summary=summary, content=content)

    def _content(self) -> ReasoningText:
        return ReasoningText(type="reasoning_text", text=self._text)

    def _summary(self) -> SummaryText:
        return SummaryText(type="summary_text", text=self._text)

    def _of_summary(self, make: Callable[..., E], kind: str, **fields: object) -> E:
        kind = f"response.reasoning_summary_{kind}"
        return self._event(make, kind, item_id=self._id, summary_index=0, **fields)


class OpenCall(_Item):
    """A call of a function or of a custom tool. `name` is its name, perhaps with its namespace."""

    def __init__(
        self, index: int, number: Number, call_id: str, name: Mapping[str, str], *, is_custom: bool
    ) -> None:
        super().__init__("ctc" if is_custom else "fc", index, number)
        self._call_id = call_id
        self._name = name
        self._is_custom = is_custom
        self._kind = f"response.{'custom_tool_call_input' if is_custom else 'function_call_arguments'}"

    def begin(self) -> Iterator[Event]:
        """The call without arguments."""
        yield self._added(self.item("in_progress"))

    def grow(self, text: str) -> Event:
        """More of the arguments, or of the input."""
        self._texts.append(text)
        return self._event(CallDelta, f"{self._kind}.delta", item_id=self._id, delta=text)

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """All of the arguments or the input, and the call."""
        kind = f"{self._kind}.done"
        if self._is_custom:
            yield self._event(InputDone, kind, item_id=self._id, input=self._text)
        else:
            yield self._event(ArgumentsDone, kind, item_id=self._id, arguments=self._text)
        yield self._done(self.item(status))

    def item(self, status: ItemStatus) -> OutputItem:
        """The call so far. OpenAI shows no status of a custom tool's."""
        called = {"id": self._id, "call_id": self._call_id, **self._name}
        if self._is_custom:
            return OutputCustomCall(type="custom_tool_call", input=self._text, **called)
        return OutputCall(type="function_call", status=status, arguments=self._text, **called)


OpenItem = OpenMessage | OpenReasoning | OpenCall


def _event_logprobs(entries: Sequence[TokenLogprob]) -> list[EventLogprob]:
    return [
        EventLogprob(
            token=entry.token,
            logprob=entry.logprob,
            top_logprobs=[
                EventTopLogprob(token=top.token, logprob=top.logprob) for top in entry.top_logprobs
            ],
        )
        for entry in entries
    ]


def _output_logprob(entry: TokenLogprob) -> OutputLogprob:
    return OutputLogprob(
        token=entry.token,
        logprob=entry.logprob,
        bytes=entry.bytes or [],
        top_logprobs=[
            OutputTopLogprob(token=top.token, logprob=top.logprob, bytes=top.bytes or [])
            for top in entry.top_logprobs
        ],
    )
