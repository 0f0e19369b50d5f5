"""Items while they are written: each knows the events that it begins with, grows by and ends with."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

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
    TextDelta,
    TextDone,
)
from caravan_schemas.responses_items import ItemStatus, ReasoningText
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

from caravan.api.responses.initial import new_id

Number = Callable[[], int]


class OpenItem(Protocol):
    """An item that may still grow. `number` gives each event its place in the stream."""

    def begin(self) -> Iterator[Event]:
        """The item is there."""

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """It will not grow any more."""

    def item(self, status: ItemStatus) -> OutputItem:
        """What it is so far."""


class _Item:
    def __init__(self, prefix: str, index: int, number: Number) -> None:
        self._id = new_id(prefix)
        self._index = index
        self._number = number
        self._texts: list[str] = []

    @property
    def _text(self) -> str:
        return "".join(self._texts)

    def _added(self, item: OutputItem) -> Event:
        return ItemEvent(
            type="response.output_item.added",
            sequence_number=self._number(),
            output_index=self._index,
            item=item,
        )

    def _done(self, item: OutputItem) -> Event:
        return ItemEvent(
            type="response.output_item.done",
            sequence_number=self._number(),
            output_index=self._index,
            item=item,
        )

    def _part(self, part: OutputText | ReasoningText, *, is_done: bool) -> Event:
        return PartEvent(
            type="response.content_part.done" if is_done else "response.content_part.added",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            part=part,
        )


class OpenMessage(_Item):
    """Text for the user, in one part."""

    def __init__(self, index: int, number: Number) -> None:
        super().__init__("msg", index, number)
        self._logprobs: list[TokenLogprob] = []

    def begin(self) -> Iterator[Event]:
        """The item without content, and its part without text."""
        yield self._added(self._message("in_progress", []))
        yield self._part(self._content(), is_done=False)

    def grow(self, text: str, logprobs: Sequence[TokenLogprob]) -> Event:
        """More text."""
        self._texts.append(text)
        self._logprobs.extend(logprobs)
        return TextDelta(
            type="response.output_text.delta",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            delta=text,
            logprobs=_event_logprobs(logprobs),
        )

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """The text, the part and the item as they have become."""
        content = self._content()
        yield TextDone(
            type="response.output_text.done",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            text=content.text,
            logprobs=_event_logprobs(self._logprobs),
        )
        yield self._part(content, is_done=True)
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
    """A thought, in one part."""

    def __init__(self, index: int, number: Number) -> None:
        super().__init__("rs", index, number)

    def begin(self) -> Iterator[Event]:
        """The item without content, and its part without text."""
        yield self._added(self._reasoning("in_progress", []))
        yield self._part(self._content(), is_done=False)

    def grow(self, text: str) -> Event:
        """More of the thought."""
        self._texts.append(text)
        return ReasoningDelta(
            type="response.reasoning_text.delta",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            delta=text,
        )

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """The text, the part and the item as they have become."""
        content = self._content()
        yield ReasoningDone(
            type="response.reasoning_text.done",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            content_index=0,
            text=content.text,
        )
        yield self._part(content, is_done=True)
        yield self._done(self._reasoning(status, [content]))

    def item(self, status: ItemStatus) -> OutputItem:
        """The thought so far."""
        return self._reasoning(status, [self._content()])

    def _reasoning(self, status: ItemStatus, content: list[ReasoningText]) -> OutputReasoning:
        return OutputReasoning(id=self._id, type="reasoning", status=status, summary=[], content=content)

    def _content(self) -> ReasoningText:
        return ReasoningText(type="reasoning_text", text=self._text)


class OpenCall(_Item):
    """A call of a function or of a custom tool."""

    def __init__(self, index: int, number: Number, call_id: str, name: str, *, is_custom: bool) -> None:
        super().__init__("ctc" if is_custom else "fc", index, number)
        self._call_id = call_id
        self._name = name
        self._is_custom = is_custom

    def begin(self) -> Iterator[Event]:
        """The call without arguments."""
        yield self._added(self.item("in_progress"))

    def grow(self, text: str) -> Event:
        """More of the arguments, or of the input."""
        self._texts.append(text)
        return CallDelta(
            type="response.custom_tool_call_input.delta"
            if self._is_custom
            else "response.function_call_arguments.delta",
            sequence_number=self._number(),
            item_id=self._id,
            output_index=self._index,
            delta=text,
        )

    def end(self, status: ItemStatus) -> Iterator[Event]:
        """All of the arguments or the input, and the call."""
        if self._is_custom:
            yield InputDone(
                type="response.custom_tool_call_input.done",
                sequence_number=self._number(),
                item_id=self._id,
                output_index=self._index,
                input=self._text,
            )
        else:
            yield ArgumentsDone(
                type="response.function_call_arguments.done",
                sequence_number=self._number(),
                item_id=self._id,
                output_index=self._index,
                arguments=self._text,
            )
        yield self._done(self.item(status))

    def item(self, status: ItemStatus) -> OutputItem:
        """The call so far. OpenAI shows no status of a custom tool's."""
        if self._is_custom:
            return OutputCustomCall(
                id=self._id,
                type="custom_tool_call",
                call_id=self._call_id,
                name=self._name,
                input=self._text,
            )
        return OutputCall(
            id=self._id,
            type="function_call",
            status=status,
            call_id=self._call_id,
            name=self._name,
            arguments=self._text,
        )


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
