"""Chat completions: request, response, chunk."""

from typing import Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.common import Usage
from caravan_schemas.debug import Debug
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS, ChatLogprobs, PromptLogprobs
from caravan_schemas.messages import MAX_MESSAGES, Message
from caravan_schemas.model_name import ModelFields
from caravan_schemas.sampling import SamplingFields
from caravan_schemas.structured import ConstraintFields
from caravan_schemas.token_fields import TokenFields
from caravan_schemas.tools import (
    MAX_TOOLS,
    FunctionCall,
    FunctionCallDelta,
    FunctionDefinition,
    LegacyChoice,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
)

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ChatFinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class ToolFields(Schema):
    """Tools, and which of them are to be called."""

    tools: list[Tool] | None = Field(
        default=None, max_length=MAX_TOOLS, fail_fast=True, description="What the model may call."
    )
    tool_choice: ToolChoice | None = Field(
        default=None,
        description="`auto` leaves it to the model, which is the default; `required` is one call or more, "
        "a named tool one call of it, `none` no call and no sight of the tools.",
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="False: one call at most, which ends the turn."
    )
    functions: list[FunctionDefinition] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The older form of `tools`: one call at most, answered as `function_call`.",
    )
    function_call: LegacyChoice | None = Field(
        default=None, description="The older form of `tool_choice`, for `functions`."
    )


class PromptFields(Schema):
    """What the chat template makes of the messages."""

    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="Variables of the model's chat template, such as `enable_thinking`."
    )
    add_generation_prompt: bool | None = Field(
        default=None, description="False: the prompt ends where the last message ends."
    )
    continue_final_message: bool | None = Field(
        default=None, description="The answer goes on where the last message, an assistant's, breaks off."
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="Given to templates that know it. `none` and `minimal` switch thinking off, the others "
        "on, where the model has that switch.",
    )
    verbosity: Literal["low", "medium", "high"] | None = Field(
        default=None,
        description="Given to templates that know it; without such a template only `medium` passes.",
    )


class ConversationFields(ToolFields, PromptFields, ModelFields):
    """All that a prompt is written from."""

    messages: list[Message] = Field(
        min_length=1, max_length=MAX_MESSAGES, fail_fast=True, description="The conversation so far."
    )


class ReasoningFields(Schema):
    """How long the model thinks before it answers, and where its thought goes."""

    thinking_budget_tokens: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="Most tokens of thought; then the thought is closed."
    )
    reasoning_format: str | None = Field(
        default=None,
        description="`auto` and `deepseek`: the thought is `reasoning_content`; `none`: it stays in the "
        "content, between the model's own markers.",
    )


class ChatCompletionRequest(
    SamplingFields, ConstraintFields, ConversationFields, ReasoningFields, TokenFields
):
    """Body of `POST /v1/chat/completions`."""

    logprobs: bool | None = Field(
        default=None,
        description="Tell how likely each token of the answer was: after bias, bans and penalties, before "
        "a constraint, truncation and temperature.",
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="And so many of the likeliest tokens in its place. Only together with `logprobs`.",
    )


class AssistantReply(Schema):
    """The model's turn. `content` is null where there are only calls; what is not there is left out."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    annotations: list[Any]
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class ChatChoice(Schema):
    """One of `n` answers."""

    index: int
    message: AssistantReply
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason
    token_ids: list[int] | None = None


class ChatCompletion(Schema):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    service_tier: Literal["default"]
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_logprobs: PromptLogprobs | None = None
    prompt_token_ids: list[int] | None = None
    debug: Debug | None = None


class ChatDelta(Schema):
    """What a chunk adds: the role in a choice's first chunk, text or calls next, nothing in its last."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionCallDelta | None = None


class ChatChunkChoice(Schema):
    """News of one choice."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason | None
    token_ids: list[int] | None = None


class ChatCompletionChunk(Schema):
    """One event of a stream. `usage` is present only when asked for: null, except in the last chunk.

    `debug` is in the chunks that end a choice, `prompt_token_ids` in those that open one, if asked for.
    `obfuscation` is random letters, if asked for: by the length of such a chunk nobody knows the text's.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    service_tier: Literal["default"]
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
    obfuscation: str | None = None
    debug: Debug | None = None
