"""What messages of Anthropic's Messages API hold: blocks of text, thoughts, calls and results."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.anthropic_tools import ToolUseName
from caravan_schemas.base import Schema, by_type, string_or_array, without
from caravan_schemas.media import IMAGE_URL
from caravan_schemas.messages import MAX_PARTS

# What Anthropic has besides. Files are not looked at here, and servers' tools do not run here.
_OTHERS = frozenset(
    {
        *("container_upload", "browser_state"),
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "tool_search_tool_result"),
        *("code_execution_tool_result", "bash_code_execution_tool_result"),
        *("text_editor_code_execution_tool_result", "mcp_tool_use", "mcp_tool_result"),
    }
)

_NOT_TEXTS = _OTHERS | {"image"}


class TextBlock(Schema):
    """A text."""

    type: Literal["text"]
    text: str


class ThoughtBlock(Schema):
    """What the model thought. It sees it again where its chat template shows it."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = Field(
        default=None, description="With an empty `thinking`, it has the thought that was not shown."
    )


class HiddenThoughtBlock(Schema):
    """A thought that only the service that wrote it can read; it is left out."""

    type: Literal["redacted_thinking"]
    data: str | None = Field(default=None, description="Not read.")


class PastToolUse(Schema):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


TextBlocks = Annotated[
    list[
        Annotated[
            TextBlock,
            by_type("block_kind"),
            without(_NOT_TEXTS, "text blocks are"),
        ]
    ],
    Field(max_length=MAX_PARTS, fail_fast=True),
]
TextContent = Annotated[
    str | TextBlocks,
    string_or_array("content_kind", "blocks"),
]


class PlainSource(Schema):
    """A document as one text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class BlocksSource(Schema):
    """A document as blocks of text."""

    type: Literal["content"]
    content: TextContent


class DocumentBlock(Schema):
    """A document of text, which the model reads between `<document>` and `</document>`."""

    type: Literal["document"]
    source: Annotated[
        PlainSource | BlocksSource,
        by_type("source_kind"),
        without(frozenset({"base64", "url", "file"}), "texts and blocks are"),
    ]
    title: str | None = None
    context: str | None = Field(default=None, description="What to know of it; read before its text.")


class Base64Source(Schema):
    """An image itself."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str = Field(description="The image's file in Base64.")


class UrlSource(Schema):
    """Where an image is."""

    type: Literal["url"]
    url: str = Field(description=IMAGE_URL)


class ImageBlock(Schema):
    """An image, for models with a projector."""

    type: Literal["image"]
    source: Annotated[
        Base64Source | UrlSource,
        by_type("source_kind"),
        without(frozenset({"file"}), "images in Base64 and URLs are"),
    ] = Field(description="The image itself, or its URL.")


class SearchResultBlock(Schema):
    """What a search has found, which the model reads as a document."""

    type: Literal["search_result"]
    source: str
    title: str
    content: TextBlocks


class FoundTool(Schema):
    """A tool of the request that a search for tools has found. The model sees its definition here."""

    type: Literal["tool_reference"]
    tool_name: ToolUseName


ResultContent = Annotated[
    str
    | Annotated[
        list[
            Annotated[
                TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | FoundTool,
                by_type("block_kind"),
                without(_OTHERS, "text, image, document, search_result and tool_reference blocks are"),
            ]
        ],
        Field(max_length=MAX_PARTS, fail_fast=True),
    ],
    string_or_array("content_kind", "blocks"),
]


class ToolResult(Schema):
    """What a tool returned for the call of this id."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: ResultContent | None = None
    is_error: bool | None = Field(
        default=None, description="True: the tool failed. The model reads `Error: ` before the result."
    )


class ChangedTool(Schema):
    """A tool of the request, by its name."""

    type: Literal["tool_reference"]
    name: ToolUseName


class ToolChange(Schema):
    """In a message of the role `system`: the model may call a tool from here on, or no longer."""

    type: Literal["tool_addition", "tool_removal"]
    tool: ChangedTool


Block = Annotated[
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThoughtBlock
    | HiddenThoughtBlock
    | PastToolUse
    | ToolResult
    | ToolChange,
    by_type("block_kind"),
    without(_OTHERS, "text, image, document, search_result, thinking, tool_use and tool_result blocks are"),
]
Blocks = Annotated[
    str | Annotated[list[Block], Field(max_length=MAX_PARTS, fail_fast=True)],
    string_or_array("content_kind", "blocks"),
]


class Said(Schema):
    """One message. Consecutive messages of one role are one turn."""

    role: Literal["user", "assistant", "system"]
    content: Blocks
    clear_at: Literal["next_user_message", "never"] | None = Field(
        default=None,
        description="With the role `system`: `next_user_message` shows the message until one of the user "
        "follows, `never` (the default) always.",
    )
