"""Events of a streamed response, in the words and the order of OpenAI. `type` is the event's name."""

from typing import Annotated, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.responses_answers import Response
from caravan_schemas.responses_items import ReasoningText, SummaryText
from caravan_schemas.responses_output import OutputItem, OutputText

EventKind = Literal[
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.completed",
    "response.incomplete",
    "response.failed",
]


class ResponseEvent(Schema):
    """The response as it is when its status changes."""

    type: EventKind
    sequence_number: int
    response: Response


class ItemEvent(Schema):
    """An item begins, or is done."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    sequence_number: int
    output_index: int
    item: OutputItem


class PartEvent(Schema):
    """A part of an item's content begins, or is done."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    part: Annotated[OutputText | ReasoningText, Field(discriminator="type")]


class EventTopLogprob(Schema):
    """One of the likeliest tokens."""

    token: str
    logprob: float


class EventLogprob(EventTopLogprob):
    """A token of a piece of text."""

    top_logprobs: list[EventTopLogprob]


class TextDelta(Schema):
    """A piece of a message's text."""

    type: Literal["response.output_text.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[EventLogprob]
    obfuscation: str | None = None


class TextDone(Schema):
    """All of a message's text."""

    type: Literal["response.output_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[EventLogprob]


class ReasoningDelta(Schema):
    """A piece of a thought."""

    type: Literal["response.reasoning_text.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    obfuscation: str | None = None


class ReasoningDone(Schema):
    """All of a thought."""

    type: Literal["response.reasoning_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    text: str


class SummaryPartEvent(Schema):
    """A part of a thought's summary begins, or is done."""

    type: Literal["response.reasoning_summary_part.added", "response.reasoning_summary_part.done"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class SummaryDelta(Schema):
    """A piece of a thought's summary."""

    type: Literal["response.reasoning_summary_text.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    delta: str
    obfuscation: str | None = None


class SummaryDone(Schema):
    """All of a thought's summary."""

    type: Literal["response.reasoning_summary_text.done"]
    sequence_number: int
    item_id: str
    output_index: int
    summary_index: int
    text: str


class CallDelta(Schema):
    """A piece of a call's arguments or of its input."""

    type: Literal["response.function_call_arguments.delta", "response.custom_tool_call_input.delta"]
    sequence_number: int
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | None = None


class ArgumentsDone(Schema):
    """All of a call's arguments."""

    type: Literal["response.function_call_arguments.done"]
    sequence_number: int
    item_id: str
    output_index: int
    arguments: str


class InputDone(Schema):
    """All of a custom tool's input."""

    type: Literal["response.custom_tool_call_input.done"]
    sequence_number: int
    item_id: str
    output_index: int
    input: str


class ErrorEvent(Schema):
    """The stream ends without an outcome."""

    type: Literal["error"]
    sequence_number: int
    code: str
    message: str
    param: str | None


Event = (
    ResponseEvent
    | ItemEvent
    | PartEvent
    | TextDelta
    | TextDone
    | ReasoningDelta
    | ReasoningDone
    | SummaryPartEvent
    | SummaryDelta
    | SummaryDone
    | CallDelta
    | ArgumentsDone
    | InputDone
    | ErrorEvent
)
