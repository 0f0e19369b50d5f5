"""The Responses API: what is asked for. The answers are in `responses_answers`."""

from typing import Annotated, Any, Literal

from annotated_types import MaxLen
from pydantic import Field, JsonValue, StringConstraints, Tag

from caravan_schemas.base import Schema, by_type
from caravan_schemas.chat import ReasoningEffort
from caravan_schemas.common import OBFUSCATION, ModelFields
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS
from caravan_schemas.responses_items import Input
from caravan_schemas.responses_tools import FlatTool, FlatToolChoice
from caravan_schemas.sampling import AnswerFields
from caravan_schemas.structured import JsonObjectFormat, PeersConstraintFields, TextFormat
from caravan_schemas.tools import MAX_TOOLS

MAX_METADATA = 16
MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Label = Annotated[str, StringConstraints(max_length=512)]
Summary = Literal["auto", "concise", "detailed"]
Verbosity = Literal["low", "medium", "high"]
Truncation = Literal["auto", "disabled"]
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


class FlatSchemaFormat(Schema):
    """JSON that satisfies a schema, in any case. `strict` adds OpenAI's rules for strict schemas."""

    type: Literal["json_schema"]
    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


TextFormats = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[FlatSchemaFormat, Tag("<json_schema>")],
    by_type("format_kind", "text", "json_object", "json_schema"),
]


class TextOptions(Schema):
    """What the text of the answer is."""

    format: TextFormats | None = Field(
        default=None,
        description="`text` (the default), `json_object` for any JSON object, or `json_schema` for JSON that "
        "satisfies a schema.",
    )
    verbosity: Verbosity | None = Field(default=None, description="Only `medium`, which changes nothing.")


class ReasoningOptions(Schema):
    """Whether the model thinks before it answers."""

    effort: ReasoningEffort | None = Field(
        default=None,
        description="How much the model is to think. `none` and `minimal` switch thinking off and the others "
        "on, where the model has a switch; chat templates that know levels get the level. Without"
        " it, the chat template decides.",
    )
    summary: Summary | None = Field(
        default=None, description="Only `auto`: thoughts are not summed up, but returned as they are."
    )
    generate_summary: Summary | None = Field(default=None, description="The older name of `summary`.")
    mode: str | None = Field(default=None, description="Only `standard`, which changes nothing.")
    context: Literal["auto", "current_turn", "all_turns"] | None = Field(
        default=None,
        description="Only `auto`: the chat template decides which thoughts the model sees again.",
    )


class ResponseStreamOptions(Schema):
    """Options that only a stream has."""

    include_obfuscation: bool | None = Field(default=None, description=OBFUSCATION)


class ResponseRequest(AnswerFields, PeersConstraintFields, ModelFields):
    """Body of `POST /v1/responses`. All decoding parameters work as with chat completions."""

    input: Input = Field(description="A text of the user, or the items of a conversation.")
    instructions: str | None = Field(
        default=None,
        description="A system message before the conversation. Responses that go on with this one do not have"
        " it.",
    )
    previous_response_id: str | None = Field(
        default=None, description="The id of a stored response. This one goes on with its conversation."
    )
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
    tools: list[FlatTool] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The tools that the model may call, at most 128.",
    )
    tool_choice: FlatToolChoice | None = Field(
        default=None,
        description="As with chat completions: `auto` (the default), `required`, `none`, one tool, or "
        "`allowed_tools`.",
    )
    parallel_tool_calls: bool | None = Field(
        default=None,
        description="False: the model makes one call at most, which ends its turn. Default true.",
    )
    text: TextOptions | None = Field(default=None, description="The format of the text: plain, or JSON.")
    reasoning: ReasoningOptions | None = Field(
        default=None, description="How much the model is to think before it answers."
    )
    thinking_budget_tokens: int | None = Field(
        default=None,
        ge=0,
        le=MAX_COUNT,
        description="The most tokens of thought. Then the thought is closed, and the answer begins. No limit "
        "by default.",
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Variables of the model's chat template, such as `enable_thinking`. One that the template"
        " does not have is refused.",
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
    metadata: Annotated[dict[MetadataKey, MetadataValue] | None, MaxLen(MAX_METADATA)] = Field(
        default=None,
        description="Up to 16 texts of the caller's own, by their names, given back with the response.",
    )
    stream_options: ResponseStreamOptions | None = Field(
        default=None, description="Options of a stream. Only with `stream`."
    )
    prompt: JsonValue = Field(default=None, description="Only null: prompts are not stored here.")
    truncation: Truncation | None = Field(
        default=None, description="Only `disabled`, the default: a conversation that is too long is refused."
    )
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
