"""Query parameters of the routes that have some. Lists may be written as `name`, `name[]` or `name[0]`."""

from typing import Literal

from pydantic import Field

from caravan_schemas.base import Schema
from caravan_schemas.common import OBFUSCATION
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.metadata import MAX_METADATA, Metadata
from caravan_schemas.responses import Includable

MAX_PAGE = 100
MAX_MODELS_PAGE = 1000


class IncludeQuery(Schema):
    """What to add to the answer."""

    include: list[Includable] | None = Field(
        default=None,
        max_length=MAX_METADATA,
        description="Without effect: an answer has all that there is of these.",
    )


class RetrievalQuery(IncludeQuery):
    """Of `GET /v1/responses/{response_id}`."""

    stream: bool | None = Field(
        default=None,
        description="True: answer with the events of a response that was made with `background` and `stream`."
        " Default false.",
    )
    starting_after: int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        description="Only the events after this number. Only with `stream`. All by default.",
    )
    include_obfuscation: bool | None = Field(default=None, description=OBFUSCATION)


class PageQuery(Schema):
    """Which page of a list."""

    after: str | None = Field(default=None, description="Only what comes after the one of this id.")
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_PAGE,
        description="The most that the page has. It has less if that is long. Default 20.",
    )


class ItemsQuery(IncludeQuery, PageQuery):
    """Of `GET /v1/responses/{response_id}/input_items`, and of the same of a conversation's items."""

    order: Literal["asc", "desc"] | None = Field(
        default=None, description="`desc` (the default) has the newest first, `asc` the oldest."
    )


class MessagesQuery(PageQuery):
    """Of `GET /v1/chat/completions/{completion_id}/messages`."""

    order: Literal["asc", "desc"] | None = Field(
        default=None, description="`asc` (the default) has the oldest first, `desc` the newest."
    )


class ChatsQuery(MessagesQuery):
    """Of `GET /v1/chat/completions`."""

    model: str | None = Field(default=None, description="Only those of the model of this name.")
    metadata: Metadata = Field(
        default=None,
        description="Only those that have all of this metadata, written as `metadata[name]=value`.",
    )


class ModelsQuery(Schema):
    """Of `GET /v1/models`, where it is asked in Anthropic's way, with the header `anthropic-version`."""

    limit: int | None = Field(
        default=None, ge=1, le=MAX_MODELS_PAGE, description="The most models of the page. Default 20."
    )
    after_id: str | None = Field(default=None, description="Only the models after the one of this id.")
    before_id: str | None = Field(default=None, description="Only the models before the one of this id.")
    lifecycle: list[Literal["active", "deprecated", "retired"]] | None = Field(
        default=None, max_length=3, description="Only models of these stages. All here are `active`."
    )
    beta: bool | None = Field(default=None, description="Without effect.")


class UsageQuery(Schema):
    """Of `GET /admin/usage`."""

    days: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Only what was used in the last so many days, today among them. Default 30.",
    )


class LlamaPropsQuery(Schema):
    """Of llama.cpp's `GET /props` and `GET /slots`."""

    model: str | None = Field(
        default=None, description="The model. It may be left out where one model is served."
    )
    autoload: bool | None = Field(
        default=None, description="True: load a model that is not loaded, instead of a 400. Default false."
    )
    fail_on_no_slot: bool | None = Field(
        default=None, description="True: `GET /slots` is a 503 where all are in use. Default false."
    )
