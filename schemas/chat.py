"""Chat completions: messages, request, response, chunk."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from schemas.base import Schema, json_kind
from schemas.common import Usage
from schemas.debug import Debug
from schemas.decoding import MAX_COUNT
from schemas.logprobs import MAX_LOGPROBS, ChatLogprobs, PromptLogprobs
from schemas.sampling import SamplingFields
from schemas.structured import ConstraintFields
from schemas.tools import (
    MAX_CALLS,
    MAX_TOOLS,
    FunctionCall,
    FunctionCallDelta,
    FunctionDefinition,
    LegacyChoice,
    PastCall,
    PastFunction,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
)

# Far beyond any conversation; they bound the work that one body can cause.
MAX_MESSAGES = 32768
MAX_PARTS = 4096


class TextPart(Schema):
    """A piece of a message's text; pieces are joined as they are."""

    type: Literal["text"]
    text: str


Content = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        Annotated[list[TextPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)], Tag("<array>")
    ],
    Discriminator(
        json_kind,
        custom_error_type="content_kind",
        custom_error_message="must be a string or an array of text parts",
    ),
]


Name = Annotated[
    str | None, Field(description="Who speaks. The model sees it where its chat template shows it.")
]


class SystemMessage(Schema):
    """Instructions that frame the conversation."""

    role: Literal["system"]
    content: Content
    name: Name = None


class DeveloperMessage(Schema):
    """OpenAI's newer word for a system message; given as such to templates that do not know it."""

    role: Literal["developer"]
    content: Content
    name: Name = None


class UserMessage(Schema):
    """A turn of the user."""

    role: Literal["user"]
    content: Content
    name: Name = None


class RefusalPart(Schema):
    """A piece of the model's refusal."""

    type: Literal["refusal"]
    refusal: str


def _part(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "<refusal>" if kind == "refusal" else "<text>"


AssistantPart = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[RefusalPart, Tag("<refusal>")], Discriminator(_part)
]
AssistantContent = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        Annotated[list[AssistantPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)],
        Tag("<array>"),
    ],
    Discriminator(
        json_kind,
        custom_error_type="content_kind",
        custom_error_message="must be a string or an array of text parts",
    ),
]


class AssistantMessage(Schema):
    """A turn of the model: content, calls, or both."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    refusal: str | None = Field(default=None, description="What the model said instead of an answer.")
    reasoning_content: str | None = Field(
        default=None, description="What it thought. The model sees it where its chat template shows it."
    )
    tool_calls: list[PastCall] | None = Field(
        default=None,
        max_length=MAX_CALLS,
        fail_fast=True,
        description="What it called; a tool message must answer each call.",
    )
    function_call: PastFunction | None = Field(
        default=None, description="The older form of a call; a function message answers it."
    )
    name: Name = None
    parsed: Any = Field(
        default=None, description="What OpenAI's SDK made of the content; not read, `content` says the same."
    )


class ToolMessage(Schema):
    """What a tool returned."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str
    name: Name = None


class FunctionMessage(Schema):
    """What a function returned; the older form of a tool message."""

    role: Literal["function"]
    content: str | None
    name: str


def _role(value: object) -> str:
    role = value.get("role") if isinstance(value, dict) else getattr(value, "role", None)
    return f"<{role}>" if isinstance(role, str) else "<other>"


Message = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[DeveloperMessage, Tag("<developer>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")]
    | Annotated[FunctionMessage, Tag("<function>")],
    Discriminator(
        _role,
        custom_error_type="message_role",
        custom_error_message=(
            "must be an object whose 'role' is one of 'system', 'developer', 'user', 'assistant', 'tool', "
            "'function'"
        ),
    ),
]


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


class ReasoningFields(Schema):
    """Whether, and how long, the model thinks before it answers."""

    reasoning_effort: ReasoningEffort | None = Field(
        default=None,
        description="Given to templates that know it. `none` and `minimal` switch thinking off, the others "
        "on, where the model has that switch.",
    )
    thinking_budget_tokens: int | None = Field(
        default=None, ge=0, le=MAX_COUNT, description="Most tokens of thought; then the thought is closed."
    )
    reasoning_format: str | None = Field(
        default=None,
        description="`auto` and `deepseek`: the thought is `reasoning_content`; `none`: it stays in the "
        "content, between the model's own markers.",
    )


class ChatCompletionRequest(SamplingFields, ConstraintFields, ToolFields, PromptFields, ReasoningFields):
    """Body of `POST /v1/chat/completions`."""

    model: str = Field(description="A name that `GET /v1/models` lists.")
    messages: list[Message] = Field(
        min_length=1, max_length=MAX_MESSAGES, fail_fast=True, description="The conversation so far."
    )
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
    prompt_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Tell how likely each token of the prompt is, and so many of the likeliest in its place, "
        "as vLLM does. Not for streams.",
    )


class AssistantReply(Schema):
    """The model's turn. `content` is null where there are only calls; what is not there is left out."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None


class ChatChoice(Schema):
    """One of `n` answers."""

    index: int
    message: AssistantReply
    logprobs: ChatLogprobs | None
    finish_reason: ChatFinishReason


class ChatCompletion(Schema):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChatChoice]
    usage: Usage
    prompt_logprobs: PromptLogprobs | None = None
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


class ChatCompletionChunk(Schema):
    """One event of a stream. `usage` is present only when asked for: null, except in the last chunk.

    `debug` is in the chunks that end a choice.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChatChunkChoice]
    usage: Usage | None = None
    debug: Debug | None = None
