"""Chat completions: messages, request, response, chunk."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from schemas.base import Schema, json_kind
from schemas.common import FinishReason, Usage
from schemas.debug import Debug
from schemas.logprobs import MAX_LOGPROBS, ChatLogprobs
from schemas.sampling import SamplingFields
from schemas.structured import ConstraintFields

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


class AssistantMessage(Schema):
    """A turn of the model."""

    role: Literal["assistant"]
    content: Content
    name: Name = None


class ToolMessage(Schema):
    """What a tool returned."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str
    name: Name = None


def _role(value: object) -> str:
    role = value.get("role") if isinstance(value, dict) else getattr(value, "role", None)
    return f"<{role}>" if isinstance(role, str) else "<other>"


Message = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[DeveloperMessage, Tag("<developer>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    Discriminator(
        _role,
        custom_error_type="message_role",
        custom_error_message=(
            "must be an object whose 'role' is one of 'system', 'developer', 'user', 'assistant', 'tool'"
        ),
    ),
]


class ChatCompletionRequest(SamplingFields, ConstraintFields):
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


class AssistantReply(Schema):
    """The model's turn."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Schema):
    """One of `n` answers."""

    index: int
    message: AssistantReply
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Schema):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str | None
    choices: list[ChatChoice]
    usage: Usage
    debug: Debug | None = None


class ChatDelta(Schema):
    """What a chunk adds: the role in a choice's first chunk, text in the next, nothing in its last."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: None = None


class ChatChunkChoice(Schema):
    """News of one choice."""

    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


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
