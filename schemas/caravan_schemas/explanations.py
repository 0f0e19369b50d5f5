"""Decoding explained: what each stage of each draw left of the candidates."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

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


_ENTROPY = "How undecided the draw is, in bits: the mean surprise of what it may take."


class ExplainedToken(Schema):
    """The token that came."""

    id: int
    text: str = Field(description="The token's text; U+FFFD stands for bytes that are a part of a character.")
    bytes: list[int]


class Candidate(Schema):
    """A token that a stage has left."""

    id: int
    text: str
    logit: float = Field(description="The token's logit as the stage has left it.")
    probability: float = Field(description="How likely it is among all that are left.")


class MirostatMu(Schema):
    """Mirostat's limit on surprise."""

    before: float = Field(description="The limit that the draw kept to, in bits.")
    after: float = Field(description="The limit of the next draw, in bits.")


class ExplainedStage(Schema):
    """What a stage of decoding has left of the tokens."""

    name: str = Field(description="The name of the stage.")
    left: int = Field(description="How many tokens are left.")
    cut: int = Field(description="How many tokens this stage has left out.")
    cut_probability: float = Field(
        description="How likely those were together, by the stage before this one."
    )
    entropy: float = Field(description=_ENTROPY)
    deviation: float = Field(description="The standard deviation of the logits of all tokens that are left.")
    log_sum_exp: float = Field(
        description="Of all tokens that are left: a probability is `exp(logit - log_sum_exp)`."
    )
    candidates: list[Candidate] = Field(
        description="The likeliest tokens that are left, the likeliest first."
    )
    mu: MirostatMu | None = Field(default=None, description="Mirostat's limit, at the draw.")


class ExplainedStep(Schema):
    """One token, and how it came."""

    position: int = Field(description="The place of the token in the context, from 0, the prompt counted.")
    token: ExplainedToken = Field(description="The token that was drawn.")
    probability: float = Field(description="How likely the token was where it was drawn, in the last stage.")
    logprob: float = Field(
        description="The natural logarithm of the token's probability by the logits as the model gave them."
    )
    surprise: float = Field(description="The same in bits, without the sign.")
    entropy: float = Field(description=_ENTROPY)
    forced: bool = Field(
        description="True: nothing was drawn. The constraint allowed only this token, or the budget of a "
        "thought was spent."
    )
    stages: list[ExplainedStage] = Field(description="The stages that acted, in their order.")


class ExplainedVariant(Schema):
    """The text that one set of parameters leads to, and how."""

    index: int = Field(description="0 is the request's own set; then come the `variants` in their order.")
    parameters: dict[str, JsonValue] = Field(
        description="Every decoding parameter in force, whoever has set it; null where there is none."
    )
    stages: list[str] = Field(description="The names of the stages that acted in any step, in their order.")
    text: str = Field(description="The text that was drawn, thoughts and calls as the model writes them.")
    finish_reason: FinishReason | None = Field(
        description="Why the text ended; null: the steps were used up."
    )
    steps: list[ExplainedStep] = Field(description="The tokens in their order.")


class Explanation(Schema):
    """How the tokens of an answer were drawn, by the parameters of the request and by its variants."""

    id: str
    object: Literal["decoding.explanation"]
    created: int
    model: str
    prompt_tokens: int = Field(description="How many tokens the prompt has, `continue_from` not counted.")
    cached_tokens: int
    continued_tokens: int = Field(description="How many tokens `continue_from` has.")
    variants: list[ExplainedVariant] = Field(
        description="What each set of parameters leads to, the request's own first."
    )
    usage: Usage
