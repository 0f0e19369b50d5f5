"""Conversations: items that are stored together, and their metadata."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.metadata import Metadata
from caravan_schemas.responses_items import Item

MAX_ADDED = 20


class ConversationRequest(Schema):
    """Body of `POST /v1/conversations`."""

    items: list[Item] | None = Field(
        default=None,
        max_length=MAX_ADDED,
        fail_fast=True,
        description="What the conversation begins with, at most 20 items.",
    )
    metadata: Metadata = Field(
        default=None, description="Up to 16 texts of the caller's own, by their names, given back with it."
    )


class ItemsRequest(Schema):
    """Body of `POST /v1/conversations/{conversation_id}/items`."""

    items: list[Item] = Field(
        min_length=1, max_length=MAX_ADDED, fail_fast=True, description="What to add, at most 20 items."
    )


class Conversation(Schema):
    """A conversation. Its items are a list of their own."""

    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(Schema):
    """The answer to the deletion of a conversation."""

    id: str
    object: Literal["conversation.deleted"]
    deleted: Literal[True]
