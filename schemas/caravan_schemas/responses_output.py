"""What a response says: its items, each with an id of its own."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.responses_items import ItemStatus, ReasoningText, SummaryText


class OutputTopLogprob(Schema):
    """A token and its natural log probability; control tokens have no bytes."""

    token: str
    logprob: float
    bytes: list[int]


class OutputLogprob(OutputTopLogprob):
    """A token of the text, and the likeliest in its place."""

    top_logprobs: list[OutputTopLogprob]


class OutputText(Schema):
    """The text of a message."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[OutputLogprob]


class OutputMessage(Schema):
    """What the model says to the user."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class OutputReasoning(Schema):
    """What the model thought. The summary is all of it, where the request asks for one."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryText]
    content: list[ReasoningText]


class OutputCall(Schema):
    """A call of a function; `arguments` is a text that holds a JSON object."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    namespace: str | None = None
    arguments: str


class OutputCustomCall(Schema):
    """A call of a custom tool."""

    id: str
    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    namespace: str | None = None
    input: str


OutputItem = Annotated[
    OutputMessage | OutputReasoning | OutputCall | OutputCustomCall, Field(discriminator="type")
]
