"""Anthropic's Messages API: the bodies of its requests."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen
from pydantic import Field

from caravan_schemas.anthropic_blocks import Said, TextContent
from caravan_schemas.anthropic_tools import MessagesTool, ToolUseChoice
from caravan_schemas.base import Schema
from caravan_schemas.common import ModelFields
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.messages import MAX_MESSAGES
from caravan_schemas.parameters import OPENAI, Parameter, Stage
from caravan_schemas.sampling import MAX_STOP_STRINGS, AnswerFields, CacheFields, StopString
from caravan_schemas.structured import PeersConstraintFields
from caravan_schemas.tools import MAX_TOOLS


class ThinkingOptions(Schema):
    """Whether the model thinks before it answers."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int | None, Field(ge=1, le=MAX_COUNT)] = Field(
        default=None, description="The most tokens of thought, with `enabled`. No limit by default."
    )
    display: Literal["summarized", "omitted", "updates"] | None = Field(
        default=None,
        description="`omitted`: the answer has thinking blocks without their text, whose signatures hold it. "
        "Thoughts are never summed up: otherwise they are as they are.",
    )


class JsonOutputFormat(Schema):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputOptions(Schema):
    """What the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        default=None,
        description="How much a model that is to think does so, if its chat template has levels.",
    )
    format: JsonOutputFormat | None = Field(
        default=None, description="A JSON schema that the text of the answer satisfies."
    )


class RequestLabels(Schema):
    """What the caller wants noted."""

    user_id: str | None = Field(default=None, description="A label of the caller's own. It has no effect.")


class MessagesConversation(ModelFields):
    """The fields that a chat template makes a prompt of."""

    messages: list[Said] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        fail_fast=True,
        description="The conversation so far. An answer continues a last message that is the assistant's.",
    )
    system: TextContent | None = Field(
        default=None,
        description="Instructions before the conversation. Claude Code's billing line is left out of them, "
        "and lines that only tell the date or the time come later in the prompt.",
    )
    tools: list[MessagesTool] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The tools that the model may call, at most 128.",
    )
    tool_choice: ToolUseChoice | None = Field(
        default=None, description="Who decides whether a tool is called. The model, by default."
    )
    thinking: ThinkingOptions | None = Field(
        default=None,
        description="Whether the model thinks before it answers. By default it does not. A model that cannot "
        "think answers without a thought, and the header `x-caravan-ignored` says so.",
    )
    output_config: OutputOptions | None = Field(default=None, description="What the answer is to be.")
    output_format: JsonOutputFormat | None = Field(
        default=None, description="The older name of `output_config.format`."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None,
        description="Variables of the model's chat template, such as `enable_thinking`. One that the template"
        " does not have is refused.",
    )
    context_management: dict[str, Any] | None = Field(
        default=None, description="It has no effect, and is reported: nothing is left out of a conversation."
    )


class MessagesRequest(AnswerFields, CacheFields, PeersConstraintFields, MessagesConversation):
    """Body of `POST /v1/messages`. All decoding parameters work as with chat completions."""

    max_tokens: Annotated[
        int, Ge(-1), Le(MAX_COUNT), Parameter(stage=Stage.END, source=OPENAI, aliases=("n_predict",))
    ] = Field(
        description="The most tokens to generate, thoughts included. 0 only computes the prompt, so that it "
        "is in the cache; -1 is as many as the context has room for.",
    )
    stop_sequences: Annotated[list[StopString] | None, MaxLen(MAX_STOP_STRINGS), Field(fail_fast=True)] = (
        Field(
            default=None,
            description="Strings at which the text ends: another name of `stop`. The answer says which it "
            "was.",
        )
    )
    thread: dict[str, Any] | None = Field(
        default=None,
        description="Refused, in words that have Anthropic's SDK send the whole conversation: none is kept.",
    )
    metadata: RequestLabels | None = Field(default=None, description="Labels. They have no effect.")
    service_tier: Literal["auto", "standard_only"] | None = Field(
        default=None, description="It has no effect: there is one tier."
    )


class CountTokensRequest(MessagesConversation):
    """Body of `POST /v1/messages/count_tokens`."""
