"""Requests of Ollama's API. Fields that only Ollama's own models need are refused by the table of fields."""

from typing import Annotated, Any, Literal

from pydantic import Field

from caravan_schemas.base import Schema, by_json_type
from caravan_schemas.common import PriorityFields
from caravan_schemas.completions import MAX_PROMPTS
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.logprobs import MAX_LOGPROBS
from caravan_schemas.messages import MAX_MESSAGES
from caravan_schemas.ollama_options import OllamaFields, Whole
from caravan_schemas.tools import MAX_CALLS, MAX_TOOLS, FunctionDefinition

AnswerShape = Annotated[
    Literal["", "json"] | dict[str, Any],
    by_json_type("format_kind", "must be 'json' or a JSON schema"),
]
Inputs = Annotated[
    str | Annotated[list[str], Field(max_length=MAX_PROMPTS, fail_fast=True)],
    by_json_type("input_kind", "must be a text or an array of texts"),
]

# Far beyond what any model reads.
MAX_IMAGES = 4096
Images = Annotated[list[str] | None, Field(max_length=MAX_IMAGES, fail_fast=True)]
IMAGES = "Images in Base64, for models with a projector."


class OllamaCalledFunction(Schema):
    """What was called."""

    index: int | None = Field(default=None, description="Not read.")
    name: str
    arguments: dict[str, Any] = Field(default_factory=dict, description="The arguments, as an object.")


class OllamaCall(Schema):
    """A call of a tool."""

    id: str | None = Field(default=None, description="A name by which `tool_call_id` finds it.")
    type: Literal["function"] | None = Field(default=None, description="Not read.")
    function: OllamaCalledFunction


class OllamaMessage(Schema):
    """A message of a conversation.

    The result of a tool belongs to the call that `tool_call_id` names, else to the first call of `tool_name`
    that has none yet, else to the first that has none.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = Field(default=None, description="What an assistant thought.")
    tool_calls: list[OllamaCall] | None = Field(
        default=None, max_length=MAX_CALLS, fail_fast=True, description="What an assistant called."
    )
    images: Images = Field(default=None, description=IMAGES)
    tool_name: str | None = Field(default=None, description="The tool whose result this is.")
    tool_call_id: str | None = Field(default=None, description="The call whose result this is.")


class OllamaTool(Schema):
    """A function that the model may call."""

    type: Literal["function"] | None = Field(default=None, description="There is no other.")
    function: FunctionDefinition


class OllamaAnswerFields(PriorityFields, OllamaFields):
    """What both routes that answer with text have."""

    stream: bool | None = Field(
        default=None, description="False: answer in one piece. By default in lines of JSON as they come."
    )
    format: AnswerShape | None = Field(
        default=None, description="`json` for any JSON object, or a JSON schema that the answer satisfies."
    )
    think: Literal[True, False, "low", "medium", "high", "max"] | None = Field(
        default=None,
        description="Whether the model is to think, or how much. By default the chat template decides.",
    )
    logprobs: bool | None = Field(
        default=None, description="True: return the log probability of each token. Default false."
    )
    top_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="How many of the likeliest tokens to return for each position. Only with `logprobs`.",
    )


class OllamaChatRequest(OllamaAnswerFields):
    """Body of `POST /api/chat`. Without messages it only loads the model."""

    messages: list[OllamaMessage] | None = Field(
        default=None, max_length=MAX_MESSAGES, fail_fast=True, description="The conversation so far."
    )
    tools: list[OllamaTool] | None = Field(
        default=None,
        max_length=MAX_TOOLS,
        fail_fast=True,
        description="The functions that the model may call, at most 128.",
    )


class OllamaGenerateRequest(OllamaAnswerFields):
    """Body of `POST /api/generate`. Without a prompt it only loads the model."""

    prompt: str | None = Field(default=None, description="What to answer, or with `raw` to continue.")
    suffix: str | None = Field(
        default=None,
        description="What follows the answer: the model fills the gap between `prompt` and this. Only for "
        "models that have tokens for it.",
    )
    system: str | None = Field(default=None, description="Instructions before the prompt.")
    images: Images = Field(default=None, description=IMAGES)
    raw: bool | None = Field(
        default=None, description="True: continue the prompt as it is, without the chat template."
    )
    context: list[int] | None = Field(
        default=None,
        description="Ollama's older way to go on with a conversation. Refused, unless empty: send the "
        "messages to `/api/chat`.",
    )


class OllamaEmbedRequest(PriorityFields, OllamaFields):
    """Body of `POST /api/embed`. Without a text it only loads the model."""

    input: Inputs = Field(description="What to embed: a text or an array of texts.")
    truncate: bool | None = Field(
        default=None,
        description="A text that is too long is refused in any case; true is reported as without effect.",
    )
    dimensions: Whole = Field(
        default=None,
        ge=1,
        le=MAX_COUNT,
        description="Keep only this many numbers of each vector, scaled to length 1 again. All by default.",
    )


class OllamaEmbeddingsRequest(PriorityFields, OllamaFields):
    """Body of `POST /api/embeddings`, the older form of `/api/embed`."""

    prompt: str | None = Field(default=None, description="The text to embed.")


class OllamaShowRequest(OllamaFields):
    """Body of `POST /api/show`."""

    name: str | None = Field(default=None, description="The older name of `model`.")
    verbose: bool | None = Field(
        default=None, description="Long lists of the file, such as its tokens, are left out in any case."
    )
