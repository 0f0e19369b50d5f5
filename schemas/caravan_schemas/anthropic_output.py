"""Anthropic's Messages API: answers, the events of streams, and errors."""

from datetime import datetime
from typing import Any, Literal

from pydantic import JsonValue

from caravan_schemas.base import Schema
from caravan_schemas.common import Debug

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]
MessagesErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "timeout_error",
    "rate_limit_error",
    "overloaded_error",
    "api_error",
]


class TextContentBlock(Schema):
    """A text of the model."""

    type: Literal["text"]
    text: str


class ThinkingContentBlock(Schema):
    """A thought of the model. The signature is a digest of it; without its text, it holds it."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseContentBlock(Schema):
    """A call of a tool. One that a limit has cut off has what of its input was complete."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


ContentBlock = TextContentBlock | ThinkingContentBlock | ToolUseContentBlock


class ThinkingTokens(Schema):
    """Tokens of thoughts, with the markers around them; `output_tokens` has them, too."""

    thinking_tokens: int


class MessageUsage(Schema):
    """Exact token counts. The prompt has `input_tokens` that were computed for this request, and
    `cache_read_input_tokens` that were in the cache already. What is cached costs nothing more, so that
    `cache_creation_input_tokens` is always 0.
    """

    input_tokens: int
    cache_creation_input_tokens: Literal[0]
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens


class MessageAnswer(Schema):
    """The whole answer. `debug` is there if it was asked for."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[ContentBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage
    debug: Debug | None = None


class MessageStartEvent(Schema):
    """The answer begins: a message without content. The counts of its prompt are exact."""

    type: Literal["message_start"]
    message: MessageAnswer


class BlockStartEvent(Schema):
    """A block begins, without its text."""

    type: Literal["content_block_start"]
    index: int
    content_block: ContentBlock


class TextBlockDelta(Schema):
    """A piece of a text."""

    type: Literal["text_delta"]
    text: str


class ThinkingBlockDelta(Schema):
    """A piece of a thought."""

    type: Literal["thinking_delta"]
    thinking: str


class SignatureDelta(Schema):
    """What stands for a thought, when it has ended."""

    type: Literal["signature_delta"]
    signature: str


class InputJsonDelta(Schema):
    """A piece of a call's input; all pieces are the text of one JSON object."""

    type: Literal["input_json_delta"]
    partial_json: str


class BlockDeltaEvent(Schema):
    """What is added to the block of this index."""

    type: Literal["content_block_delta"]
    index: int
    delta: TextBlockDelta | ThinkingBlockDelta | SignatureDelta | InputJsonDelta


class BlockStopEvent(Schema):
    """The block of this index is complete."""

    type: Literal["content_block_stop"]
    index: int


class MessageEnd(Schema):
    """Why the answer ended, and the stop sequence that ended it."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDeltaEvent(Schema):
    """The end of the answer, with the counts of all of it."""

    type: Literal["message_delta"]
    delta: MessageEnd
    usage: MessageUsage
    debug: Debug | None = None


class MessageStopEvent(Schema):
    """Nothing follows."""

    type: Literal["message_stop"]


class PingEvent(Schema):
    """A sign of life. It may come anywhere."""

    type: Literal["ping"]


class ErrorDetails(Schema):
    """`error_code` is this server's own code, `param` the path of the field at fault."""

    error_code: str
    param: str | None


class MessagesErrorDetail(Schema):
    """What went wrong."""

    type: MessagesErrorType
    message: str
    details: ErrorDetails


class MessagesError(Schema):
    """The body of every answer of these routes that is not a success, and the error event of a stream."""

    type: Literal["error"]
    error: MessagesErrorDetail
    request_id: str


MessagesEvent = (
    MessageStartEvent
    | BlockStartEvent
    | BlockDeltaEvent
    | BlockStopEvent
    | MessageDeltaEvent
    | MessageStopEvent
    | PingEvent
    | MessagesError
)


class TokenCount(Schema):
    """How many tokens the prompt has."""

    input_tokens: int


class MessagesModel(Schema):
    """One model that requests can name. A prompt and its answer have `max_input_tokens` together.

    Each of the `capabilities` says whether it is `supported`, and what of it.
    """

    id: str
    type: Literal["model"] = "model"
    display_name: str
    created_at: datetime
    lifecycle: Literal["active"] = "active"
    max_input_tokens: int | None
    max_tokens: int | None
    capabilities: dict[str, JsonValue]


class MessagesModelList(Schema):
    """A page of the models served here."""

    data: list[MessagesModel]
    first_id: str | None
    last_id: str | None
    has_more: bool
