"""Shapes that several routes share."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from caravan_schemas.base import Schema
from caravan_schemas.decoding import MAX_COUNT
from caravan_schemas.keep_alive import KeepAlive

FinishReason = Literal["stop", "length"]
OBFUSCATION = (
    "True: add `obfuscation` to events that bring text. It is random letters that round their bytes up to a "
    "multiple of 16, so that the sizes of encrypted events do not tell those of words. Default false, unlike "
    "OpenAI's."
)


class ModelFields(Schema):
    """The fields that all requests about a model have.

    An empty name counts as none, as some clients write it.
    """

    model: Annotated[
        str,
        BeforeValidator(lambda value: "" if value is None else value, json_schema_input_type=str | None),
    ] = Field(
        default="",
        description="The model, by a name that `GET /v1/models` lists. It may be left out where one model is "
        "served.",
    )
    keep_alive: KeepAlive | None = Field(
        default=None,
        description="As with Ollama, how long the model stays loaded when this request has ended and no "
        "other comes: seconds, or a text such as `5m`. 0 unloads it then, unless other keys have lately used "
        "it; -1 keeps it. It stays no longer than the operator's `idle_unload` says, and pinned models "
        "stay: a wish for something else passes, and is reported. By default `idle_unload` says it.",
    )


class PriorityFields(Schema):
    """Which of a key's requests come first."""

    priority: int | None = Field(
        default=None,
        ge=-MAX_COUNT,
        le=MAX_COUNT,
        description="As with vLLM, a request with a lower number has its turn first. 0, the default, is the "
        "priority of the caller's key. A higher number stands so much behind it, and a lower one before it, "
        "as far as the operator allows.",
    )


class StreamOptions(Schema):
    """Options that only a stream has."""

    include_usage: bool | None = Field(
        default=None,
        description="True: one more chunk comes before `[DONE]`, with the usage and without choices. Default "
        "false.",
    )
    continuous_usage_stats: bool | None = Field(
        default=None,
        description="True: each chunk has the usage so far, of all choices together, as vLLM and SGLang have "
        "it. Only with `include_usage`. Default false.",
    )
    include_obfuscation: bool | None = Field(default=None, description=OBFUSCATION)


class PromptTokensDetails(Schema):
    """`cached_tokens` of the prompt were in the cache already; `audio_tokens` and `image_tokens` stand for
    sounds and images.
    """

    cached_tokens: int
    audio_tokens: int
    image_tokens: int


class CompletionTokensDetails(Schema):
    """`reasoning_tokens` are those of thoughts, with the markers around them."""

    reasoning_tokens: int
    audio_tokens: Literal[0]
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class PromptProgress(Schema):
    """How much of a prompt's `total` tokens is `processed`, the `cache` included, since its turn has come."""

    total: int
    cache: int
    processed: int
    time_ms: int


class Usage(Schema):
    """Exact token counts. A prompt counts once, however many choices are drawn from it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class DecodingStage(Schema):
    """A stage of decoding that acts, with its values, in which texts of tokens are token ids.

    `mu` is the state of mirostat after the last token, by the index of the choice.
    """

    stage: str
    values: dict[str, object]
    mu: dict[str, float] | None = None


class ObjectList(Schema):
    """A page of a list. Where `has_more`, the next one is `after` the last id."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Debug(Schema):
    """`decoding` has the stages in the order in which they acted."""

    decoding: list[DecodingStage]
