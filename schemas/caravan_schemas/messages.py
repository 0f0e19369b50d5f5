"""The messages of a conversation, by who speaks, and their content."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from caravan_schemas.base import Schema, by_type, string_or_array, without
from caravan_schemas.media import AudioPart, ImagePart
from caravan_schemas.reasoning import ThinkingPart, ThoughtFields
from caravan_schemas.tools import MAX_CALLS, PastCall, PastFunction

# Far beyond any conversation; they bound the work that one body can cause.
MAX_MESSAGES = 32768
MAX_PARTS = 4096


class TextPart(Schema):
    """A piece of a message's text; pieces are joined as they are."""

    type: Literal["text"]
    text: str


Content = Annotated[
    str | Annotated[list[TextPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "text parts"),
]

_OTHER_PARTS = frozenset({"file", "refusal", "input_image", "video_url", "audio_url"})
UserPart = TextPart | ImagePart | AudioPart
UserContent = Annotated[
    str
    | Annotated[
        list[
            Annotated[
                UserPart,
                by_type("part_kind"),
                without(_OTHER_PARTS, "text, image_url and input_audio parts are"),
            ]
        ],
        Field(min_length=1, max_length=MAX_PARTS, fail_fast=True),
    ],
    string_or_array("content_kind", "parts"),
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
    """OpenAI's newer role for a system message; templates that do not know it get it as one."""

    role: Literal["developer"]
    content: Content
    name: Name = None


class UserMessage(Schema):
    """A turn of the user."""

    role: Literal["user"]
    content: UserContent
    name: Name = None


class RefusalPart(Schema):
    """A piece of the model's refusal."""

    type: Literal["refusal"]
    refusal: str


def _part(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind in ("thinking", "reasoning", "redacted_thinking"):
        return "<thinking>"
    return "<refusal>" if kind == "refusal" else "<text>"


AssistantPart = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[ThinkingPart, Tag("<thinking>")],
    Discriminator(_part),
]
AssistantContent = Annotated[
    str | Annotated[list[AssistantPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "text parts"),
]


class AssistantMessage(ThoughtFields):
    """A turn of the model: content, calls, or both."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    refusal: str | None = Field(default=None, description="What the model said instead of an answer.")
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
    parsed: Any = Field(default=None, description="Not read: what OpenAI's SDK made of the content.")


class ToolMessage(Schema):
    """What a tool returned."""

    role: Literal["tool"]
    content: UserContent
    tool_call_id: str
    name: Name = None


class FunctionMessage(Schema):
    """What a function returned; the older form of a tool message."""

    role: Literal["function"]
    content: str | None
    name: str


Message = Annotated[
    SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    by_type("message_role", key="role"),
]
