"""Chat completions: request, response, chunk."""

from typing import Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.common import Debug, ModelFields, PromptProgress, Usage
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS, ChatLogprobs, PromptLogprobs
from caravan_schemas.messages import MAX_MESSAGES, Message
from caravan_schemas.metadata import Metadata
from caravan_schemas.prediction import PredictionFields
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
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The tools that the model may call, at most 128.",
    )
    tool_choice: ToolChoice | None = Field(
        default=None,
        description="`auto` leaves calls to the model, which is the default. `required` asks for one call or "
        "more, a named tool for one call of it. `allowed_tools` names those that may be called. "
        "`none` allows no call, and the model does not see the tools.",
    )
    parallel_tool_calls: bool | None = Field(
        default=None,
        description="False: the model makes one call at most, which ends its turn. Default true.",
    )
    functions: list[FunctionDefinition] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The older form of `tools`. There is one call at most, answered as `function_call`.",
    )
    function_call: LegacyChoice | None = Field(
        default=None, description="The older form of `tool_choice`, for `functions`."
    )


class PromptFields(Schema):
    """How the chat template turns the messages into a prompt."""

    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Variables of the model's chat template, such as `enable_thinking`. One that the template"
        " does not have is refused.",
    )
    add_generation_prompt: bool | None = Field(
        default=None,
        description="False: the prompt ends with the last message, without the words that open an answer. "
        "Default true.",
    )
    continue_final_message: bool | None = Field(
        default=None,
        description="True: the answer continues the last message, which must be an assistant's. Default "
        "false.",
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="How much the model is to think. `none` and `minimal` switch thinking off and the others "
        "on, where the model has a switch; chat templates that know levels get the level. Without"
        " it, the chat template decides.",
    )
    verbosity: Literal["low", "medium", "high"] | None = Field(
        default=None,
        description="How long answers are to be, for chat templates that know it. With others only `medium` "
        "passes, which changes nothing.",
    )


class ConversationFields(ToolFields, PromptFields, ModelFields):
    """The fields that a chat template makes a prompt of."""

    messages: list[Message] = Field(
        min_length=1, max_length=MAX_MESSAGES, fail_fast=True, description="The conversation so far."
    )


class ReasoningFields(Schema):
    """How long the model thinks before it answers, and where its thought goes."""

    thinking_budget_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        description="The most tokens of thought. Then the thought is closed, and the answer begins. No limit "
        "by default.",
    )
    reasoning_control: bool | None = Field(
        default=None,
        description="True: `POST /v1/chat/completions/control` may end the thought early, as with llama.cpp. "
        "Default false.",
    )
    reasoning_format: str | None = Field(
        default=None,
        description="Where the thought is returned: as `reasoning_content` (`auto`, the default, and "
        "`deepseek`), or in the content, between the model's own markers (`none`).",
    )


class ChatCompletionRequest(
    SamplingFields, PredictionFields, ConstraintFields, ConversationFields, ReasoningFields, TokenFields
):
    """Body of `POST /v1/chat/completions`."""

    logprobs: bool | None = Field(
        default=None,
        description="True: return the log probability of each token of the answer, taken after bias, bans and"
        " penalties, and before constraints, truncation and temperature. Default false.",
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="How many of the likeliest tokens to return for each position. Only with `logprobs`. "
        "Default 0.",
    )
    store: bool | None = Field(
        default=None,
        description="True: keep the answer and the messages, so that they can be listed. Not with "
        "`prompt_logprobs`. Default false.",
    )
    metadata: Metadata = Field(
        default=None,
        description="Up to 16 texts of the caller's own, by their names, kept with what is stored. Without "
        "`store` there is nothing to keep them with.",
    )


class AssistantReply(Schema):
    """The model's turn.

    `content` is null where there are calls and no text. Fields without a value are left out.
    """

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
    metadata: dict[str, str] | None = Field(default=None, description="Of one that is stored.")
    prompt_logprobs: PromptLogprobs | None = None
    prompt_token_ids: list[int] | None = None
    debug: Debug | None = None


class DeletedChat(Schema):
    """The answer to the deletion of a stored chat completion."""

    id: str
    object: Literal["chat.completion.deleted"]
    deleted: Literal[True]


class ChatDelta(Schema):
    """What a chunk adds: first the role, then text or calls, and nothing in the one that ends the choice."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: FunctionCallDelta | None = None


class ChatChunkChoice(Schema):
    """What a chunk adds to one choice."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason | None
    token_ids: list[int] | None = None


class ChatCompletionChunk(Schema):
    """One event of a stream.

    What is only there when it was asked for: `usage`, which is null in all chunks but the last; `debug`, in
    chunks that end a choice; `prompt_token_ids`, in chunks that open one; `obfuscation`, random letters
    that hide the length of the text.
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
    prompt_progress: PromptProgress | None = None
    debug: Debug | None = None
