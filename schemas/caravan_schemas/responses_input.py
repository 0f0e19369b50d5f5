"""What a response is an answer to, as requests say it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_json_type, by_type
from caravan_schemas.chat import ReasoningEffort
from caravan_schemas.common import ModelFields
from caravan_schemas.responses_items import Input
from caravan_schemas.responses_tools import FlatTool, FlatToolChoice
from caravan_schemas.structured import JsonObjectFormat, TextFormat
from caravan_schemas.tools import MAX_TOOLS

Summary = Literal["auto", "concise", "detailed"]
Verbosity = Literal["low", "medium", "high"]
Truncation = Literal["auto", "disabled"]


class FlatSchemaFormat(Schema):
    """JSON that satisfies a schema, in any case. `strict` adds OpenAI's rules for strict schemas."""

    type: Literal["json_schema"]
    name: str = Field(pattern="^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


TextFormats = Annotated[
    TextFormat | JsonObjectFormat | FlatSchemaFormat,
    by_type("format_kind"),
]


class TextOptions(Schema):
    """What the text of the answer is."""

    format: TextFormats | None = Field(
        default=None,
        description="`text` (the default), `json_object` for any JSON object, or `json_schema` for JSON that "
        "satisfies a schema.",
    )
    verbosity: Verbosity | None = Field(
        default=None,
        description="How long answers are to be, for chat templates that know it. With others it has no "
        "effect, and the header `x-caravan-ignored` says so.",
    )


class ReasoningOptions(Schema):
    """Whether the model thinks before it answers."""

    effort: ReasoningEffort | None = Field(
        default=None,
        description="How much the model is to think. `none` and `minimal` switch thinking off and the others "
        "on, where the model has a switch; chat templates that know levels get the level. Without"
        " it, the chat template decides.",
    )
    summary: Summary | None = Field(
        default=None,
        description="Any: thoughts are returned as `summary`, too. They are not summed up, but as they are.",
    )
    generate_summary: Summary | None = Field(default=None, description="The older name of `summary`.")
    mode: str | None = Field(default=None, description="Only `standard`, which changes nothing.")
    context: Literal["auto", "current_turn", "all_turns"] | None = Field(
        default=None,
        description="`current_turn`: of its thoughts, the model sees those again that came after the user's "
        "last message. `all_turns` and `auto` (the default): the chat template is given all, and decides.",
    )


class ConversationReference(Schema):
    """A conversation."""

    id: str


ConversationName = Annotated[
    str | ConversationReference,
    by_json_type("conversation_kind", "must be the id of a conversation, or an object with it"),
]


class ConversationInput(ModelFields):
    """What a response is an answer to. Body of `POST /v1/responses/input_tokens`."""

    input: Input | None = Field(
        default=None, description="A text of the user, or the items of a conversation."
    )
    instructions: str | None = Field(
        default=None,
        description="A system message before the conversation. Responses that go on with this one do not have"
        " it.",
    )
    previous_response_id: str | None = Field(
        default=None, description="The id of a stored response. This one goes on with its conversation."
    )
    conversation: ConversationName | None = Field(
        default=None,
        description="A stored conversation, by its id or as an object with the `id`. Its items come before "
        "the input, and the input and the output are added to it. Not with `previous_response_id`.",
    )
    tools: list[FlatTool] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The tools that the model may call, at most 128, those of namespaces included.",
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
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Variables of the model's chat template, such as `enable_thinking`. One that the template"
        " does not have is refused.",
    )
    truncation: Truncation | None = Field(
        default=None,
        description="`auto`: a conversation that is too long loses its oldest items, whole ones, and the "
        "header `x-caravan-truncated` says how many. `disabled` (the default): it is refused.",
    )
