"""Text completions: request, response, and the chunk, which has the response's shape."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from caravan_schemas.base import Schema
from caravan_schemas.common import Debug, FinishReason, ModelFields, PromptProgress, Usage
from caravan_schemas.logprobs import MAX_LOGPROBS, PromptLogprobs, TextLogprobs
from caravan_schemas.sampling import MaxTokens, SamplingFields, TokenId
from caravan_schemas.structured import ConstraintFields
from caravan_schemas.token_fields import TokenFields

# The operator's own limit is lower; this one bounds the work that one body can cause.
MAX_PROMPTS = 2048


def _prompt_kind(value: object) -> str:
    if isinstance(value, str):
        return "<string>"
    if not isinstance(value, list):
        return "<other>"
    if value and isinstance(value[0], list):
        return "<id arrays>"
    return "<ids>" if value and isinstance(value[0], int) else "<strings>"


TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
Prompt = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)], Tag("<strings>")
    ]
    | Annotated[TokenIds, Tag("<ids>")]
    | Annotated[
        Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)],
        Tag("<id arrays>"),
    ],
    Discriminator(
        _prompt_kind,
        custom_error_type="prompt_kind",
        custom_error_message=(
            "must be a string, an array of strings, an array of token ids, or an array of arrays of token ids"
        ),
    ),
]


class CompletionRequest(SamplingFields, ConstraintFields, TokenFields, ModelFields):
    """Body of `POST /v1/completions`."""

    prompt: Prompt = Field(
        description="What to continue: a text, an array of texts, an array of token ids, or an array of such "
        "arrays."
    )
    max_tokens: MaxTokens = Field(
        default=None,
        description="The most tokens to generate for each choice. Default 16, as OpenAI documents it.",
    )
    logprobs: int | None = Field(
        default=None,
        ge=0,
        le=MAX_LOGPROBS,
        description="Return the log probability of each token, and this many of the likeliest tokens for its "
        "position, taken after bias, bans and penalties, and before constraints, truncation and "
        "temperature. None by default.",
    )
    echo: bool | None = Field(
        default=None,
        description="True: each text begins with its prompt. With `logprobs`, the tokens of the prompt have "
        "log probabilities, too, taken from the logits as they are. `max_tokens` may be 0 then. "
        "Default false.",
    )
    suffix: str | None = Field(
        default=None,
        description="What follows the text: the model fills the gap between `prompt` and this. Only for "
        "models that have tokens for it.",
    )


class CompletionChoice(Schema):
    """One text.

    The choices of the first prompt have the indexes from 0, those of the second from `n`, and so on.
    """

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    prompt_logprobs: PromptLogprobs | None = None
    finish_reason: FinishReason | None
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None


class Completion(Schema):
    """The answer; as a chunk of a stream, `text` is what is new.

    `obfuscation` is random letters that hide the length of the text, if they were asked for.
    """

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    debug: Debug | None = None
    obfuscation: str | None = None
    prompt_progress: PromptProgress | None = None
