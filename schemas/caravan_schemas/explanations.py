"""Decoding explained: what each stage of each draw left of the candidates."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from caravan_schemas.base import Schema, string_or_array
from caravan_schemas.chat import PromptFields, ReasoningFields, ToolFields
from caravan_schemas.common import FinishReason, ModelFields, PriorityFields, Usage
from caravan_schemas.completions import TokenIds
from caravan_schemas.messages import MAX_MESSAGES, Message
from caravan_schemas.sampling import CacheFields, DrawnFields, TokenId
from caravan_schemas.structured import ConstraintFields
from caravan_schemas.token_fields import TruncationFields

MAX_STEPS = 64
MAX_CANDIDATES = 200
MAX_VARIANTS = 8
MAX_CONTINUED = 1024
DEFAULT_STEPS = 16
DEFAULT_CANDIDATES = 10

_EXAMPLE: dict[str, JsonValue] = {
    "prompt": "Once upon a time",
    "steps": 4,
    "candidates": 5,
    "temperature": 0.9,
    "top_p": 0.9,
    "seed": 1,
    "variants": [{"temperature": 0.2}, {"top_p": None, "mirostat": 2}],
}


class Variant(DrawnFields):
    """Decoding parameters that are laid over the request's own."""


class ExplainRequest(
    DrawnFields,
    PriorityFields,
    CacheFields,
    ConstraintFields,
    ToolFields,
    PromptFields,
    ReasoningFields,
    TruncationFields,
    ModelFields,
):
    """Body of `POST /v1/decoding/explain`: `prompt` or `messages`, and how to go on from there."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    prompt: Annotated[str | TokenIds, string_or_array("text_or_ids", "token ids")] | None = Field(
        default=None, description="What to continue: a text, or an array of token ids."
    )
    messages: list[Message] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MESSAGES,
        fail_fast=True,
        description="A conversation that the model's answer is to follow, in place of `prompt`.",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=MAX_STEPS,
        description="How many tokens to draw at most, and to explain. Default 16.",
    )
    candidates: int | None = Field(
        default=None,
        ge=1,
        le=MAX_CANDIDATES,
        description="How many of the likeliest tokens each stage lists. Default 10.",
    )
    variants: list[Variant] | None = Field(
        default=None,
        max_length=MAX_VARIANTS,
        fail_fast=True,
        description="Up to 8 sets of decoding parameters, each laid over the request's own, of which null "
        "takes one away. The same prompt, which is computed once, goes on with each of them.",
    )
    continue_from: list[TokenId] | None = Field(
        default=None,
        max_length=MAX_CONTINUED,
        fail_fast=True,
        description="Tokens of the answer, up to 1024, that stand already, as if they had been drawn: the "
        "first step comes after them.",
    )
    user: str | None = Field(default=None, description="A label of the caller's own. It has no effect.")


class ExplainedToken(Schema):
    """A token: `text` has U+FFFD where its bytes are a part of a character, `bytes` has them all."""

    id: int
    text: str
    bytes: list[int]


class Candidate(Schema):
    """A token that a stage has left."""

    id: int
    text: str
    logit: float
    probability: float


class MirostatMu(Schema):
    """Mirostat's limit on surprise, in bits."""

    before: float
    after: float


class ExplainedStage(Schema):
    """What a stage has left: `left` tokens, of which `candidates` are the likeliest, the likeliest first.

    `cut` tokens were left out here, which together were as likely as `cut_probability` by the stage before.
    `entropy` is in bits. A probability is `exp(logit - log_sum_exp)`.
    """

    name: str
    left: int
    cut: int
    cut_probability: float
    entropy: float
    log_sum_exp: float
    candidates: list[Candidate]
    mu: MirostatMu | None = None


class ExplainedStep(Schema):
    """One draw. `position` is the place of its token in the context.

    `probability` is that of the token where it was drawn, in the last stage; `logprob` (natural), `surprise`
    and `entropy` (bits) are those of the logits as the model gave them. With `forced` the token was the only
    one that the constraint allowed, or ended a thought whose budget was spent, and nothing was drawn.
    """

    position: int
    token: ExplainedToken
    probability: float
    logprob: float
    surprise: float
    entropy: float
    forced: bool
    stages: list[ExplainedStage]


class ExplainedVariant(Schema):
    """The text that one set of parameters leads to, and how.

    The request's own has the index 0. `stages` are those that acted in any step, in their order;
    `finish_reason` is null where the steps were used up.
    """

    index: int
    parameters: dict[str, JsonValue]
    stages: list[str]
    text: str
    finish_reason: FinishReason | None
    steps: list[ExplainedStep]


class Explanation(Schema):
    """The answer. `cached_tokens` of the prompt and of what it was continued with were in memory already."""

    id: str
    object: Literal["decoding.explanation"]
    created: int
    model: str
    prompt_tokens: int
    cached_tokens: int
    continued_tokens: int
    variants: list[ExplainedVariant]
    usage: Usage
