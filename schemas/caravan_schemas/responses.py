"""The Responses API: what is asked for. The answers are in `responses_answers`."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from caravan_schemas.base import Schema
from caravan_schemas.common import OBFUSCATION, PriorityFields
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS
from caravan_schemas.metadata import MAX_METADATA, Metadata
from caravan_schemas.responses_input import (
    ConversationInput,
)
from caravan_schemas.responses_items import Input
from caravan_schemas.sampling import AnswerFields
from caravan_schemas.structured import PeersConstraintFields

Label = Annotated[str, StringConstraints(max_length=512)]
Retention = Literal["in_memory", "24h"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]

# What `include` may ask for of tools that this server does not have: there is never anything of it.
ABSENT = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)

# Other texts are refused by name later, so the type lets them through.
Includable = Annotated[
    str, Field(json_schema_extra={"enum": ["message.output_text.logprobs", "reasoning.encrypted_content"]})
]


class ResponseStreamOptions(Schema):
    """Options that only a stream has."""

    include_obfuscation: bool | None = Field(default=None, description=OBFUSCATION)


class CompactRequest(PriorityFields, ConversationInput):
    """Body of `POST /v1/responses/compact`. Fields that are not the conversation have no effect."""


class ResponseRequest(AnswerFields, PeersConstraintFields, ConversationInput):
    """Body of `POST /v1/responses`. All decoding parameters work as with chat completions."""

    input: Input = Field(description="A text of the user, or the items of a conversation.")
    store: bool | None = Field(
        default=None,
        description="False: keep nothing of the response. By default it is stored, and can be asked for and "
        "gone on with.",
    )
    background: bool | None = Field(
        default=None,
        description="True: answer at once with a response that is `queued`, and make it meanwhile. Default "
        "false.",
    )
    max_output_tokens: Annotated[int | None, Field(ge=-1, le=MAX_COUNT)] = Field(
        default=None,
        description="The most tokens to generate, thoughts included: another name of `max_tokens`.",
    )
    thinking_budget_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        description="The most tokens of thought. Then the thought is closed, and the answer begins. No limit "
        "by default.",
    )
    include: list[Includable] | None = Field(
        default=None,
        max_length=MAX_METADATA,
        description="`message.output_text.logprobs` returns the log probability of each token of the text. "
        "`reasoning.encrypted_content` changes nothing: thoughts are in the items as they are.",
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="How many of the likeliest tokens to return for each position. Only with "
        "`message.output_text.logprobs` in `include`. Default 0.",
    )
    metadata: Metadata = Field(
        default=None,
        description="Up to 16 texts of the caller's own, by their names, given back with the response.",
    )
    stream_options: ResponseStreamOptions | None = Field(
        default=None, description="Options of a stream. Only with `stream`."
    )
    prompt: JsonValue = Field(default=None, description="Only null: prompts are not stored here.")
    service_tier: ServiceTier | None = Field(
        default=None, description="Only `auto` or `default`: there is one tier."
    )
    prompt_cache_key: Label | None = Field(
        default=None, description="Given back, without effect: equal prefixes are found without it."
    )
    prompt_cache_retention: Retention | None = Field(default=None, description="Given back, without effect.")
    safety_identifier: Label | None = Field(default=None, description="Given back, without effect.")
    max_tool_calls: int | None = Field(
        default=None,
        ge=1,
        le=MAX_COUNT,
        description="Given back, without effect: it limits calls of OpenAI's own tools.",
    )
