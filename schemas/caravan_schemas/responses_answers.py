"""The Responses API: a response, the list of its input, and what is said when it has been deleted."""

from typing import Any, Literal

from caravan_schemas.base import Schema
from caravan_schemas.chat import ReasoningEffort
from caravan_schemas.common import Debug
from caravan_schemas.responses import Retention
from caravan_schemas.responses_input import (
    ConversationReference,
    Summary,
    TextFormats,
    Truncation,
    Verbosity,
)
from caravan_schemas.responses_output import OutputItem
from caravan_schemas.responses_tools import FlatTool, FlatToolChoice

FaultCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class InputTokensDetails(Schema):
    """`cached_tokens` of the input were in the cache already; `cache_write_tokens` are there from now on."""

    cache_write_tokens: int
    cached_tokens: int


class OutputTokensDetails(Schema):
    """`reasoning_tokens` of the output were thought, the markers around it included."""

    reasoning_tokens: int


class ResponseUsage(Schema):
    """Exact token counts."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseFault(Schema):
    """Why a response failed."""

    code: FaultCode
    message: str


class IncompleteDetails(Schema):
    """Why a response is not complete."""

    reason: Literal["max_output_tokens"]


class ShownReasoning(Schema):
    """The `reasoning` options in effect."""

    effort: ReasoningEffort | None
    summary: Summary | None


class ShownText(Schema):
    """The `text` options in effect."""

    format: TextFormats
    verbosity: Verbosity


class Response(Schema):
    """A response in any of its states. Fields that only OpenAI has use for are null."""

    id: str
    object: Literal["response"]
    created_at: int
    status: ResponseStatus
    completed_at: int | None
    background: bool
    error: ResponseFault | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_retention: Retention | None
    reasoning: ShownReasoning
    safety_identifier: str | None
    service_tier: Literal["default"]
    temperature: float
    text: ShownText
    tool_choice: FlatToolChoice
    tools: list[FlatTool]
    top_logprobs: int
    top_p: float
    truncation: Truncation
    usage: ResponseUsage | None
    user: str | None
    access_programs: None
    conversation: ConversationReference | None
    image: None
    input_transformations: None
    moderation: None
    prompt: None
    prompt_cache_diagnostics: None
    prompt_cache_options: None
    tool_usage: None
    debug: Debug | None = None


class InputTokens(Schema):
    """How many tokens the prompt of a response would have."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class CompactedResponse(Schema):
    """What is left of a conversation: what the user said, and a summary of all as an item `compaction`."""

    id: str
    object: Literal["response.compaction"]
    created_at: int
    output: list[dict[str, Any]]
    usage: ResponseUsage


class DeletedResponse(Schema):
    """The answer to the deletion of a response."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]
