"""How likely each token is made: the parameters that shape the distribution and act against repetition.

The order of the fields is the order of the documentation page.
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import Field, StringConstraints

from caravan_schemas.base import Schema
from caravan_schemas.parameters import LLAMA_CPP, OPENAI, TRUNCATING, Parameter, Stage
from caravan_schemas.samplers import SamplerList

MAX_COUNT = 2**31 - 1
# Where a document of origin names no limit, this one keeps float32 arithmetic finite.
WIDE = 100
MAX_BREAKERS = 32
MAX_BREAKER_LENGTH = 40

Breaker = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BREAKER_LENGTH)]

Typical = Annotated[
    float | None,
    Ge(0),
    Le(1),
    Parameter(
        stage=Stage.TRUNCATION, source=LLAMA_CPP, default=1.0, neutral=1.0, aliases=("typical", "typ_p")
    ),
]
MirostatVersion = Annotated[
    int | None,
    Ge(0),
    Le(2),
    Parameter(stage=Stage.DRAW, source=LLAMA_CPP, default=0, neutral=0, aliases=("mirostat_mode",)),
]
RepeatPenalty = Annotated[
    float | None,
    Ge(0.01),
    Le(WIDE),
    Parameter(
        stage=Stage.PENALTIES, source=LLAMA_CPP, default=1.0, neutral=1.0, aliases=("repetition_penalty",)
    ),
]


def _truncation(default: object, neutral: object, source: str = LLAMA_CPP) -> Parameter:
    return Parameter(stage=Stage.TRUNCATION, source=source, default=default, neutral=neutral)


def _temperature(default: object, neutral: object = None) -> Parameter:
    return Parameter(stage=Stage.TEMPERATURE, source=LLAMA_CPP, default=default, neutral=neutral)


def _draw(default: object) -> Parameter:
    return Parameter(stage=Stage.DRAW, source=LLAMA_CPP, default=default)


def _penalty(default: object, source: str = OPENAI, neutral: object = 0.0) -> Parameter:
    return Parameter(stage=Stage.PENALTIES, source=source, default=default, neutral=neutral)


def _dry(default: object, neutral: object = None) -> Parameter:
    return Parameter(stage=Stage.DRY, source=LLAMA_CPP, default=default, neutral=neutral)


class ShapeFields(Schema):
    """What flattens, sharpens or cuts the distribution, and how the token is drawn from it."""

    temperature: Annotated[float | None, Ge(0), Le(WIDE), _temperature(0.8, neutral=1.0)] = Field(
        default=None,
        description="Divides the logits; 0 is greedy: the likeliest token, always. OpenAI's range ends at 2.",
    )
    dynatemp_range: Annotated[float | None, Ge(0), Le(WIDE), _temperature(0.0, neutral=0.0)] = Field(
        default=None,
        description="Moves the temperature by so much, down where the model is sure, up where not. 0 is off.",
    )
    dynatemp_exponent: Annotated[float | None, Gt(0), Le(WIDE), _temperature(1.0)] = Field(
        default=None, description="How entropy (0 to 1) maps to the dynamic temperature: its power."
    )
    top_k: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _truncation(40, 0)] = Field(
        default=None, description="Keep the k likeliest tokens. 0 is off, and so is vLLM's -1."
    )
    top_p: Annotated[float | None, Ge(0), Le(1), _truncation(0.95, 1.0, OPENAI)] = Field(
        default=None,
        description="Keep the fewest likeliest tokens that reach p together. 1 is off; 0 keeps one token.",
    )
    min_p: Annotated[float | None, Ge(0), Le(1), _truncation(0.05, 0.0)] = Field(
        default=None, description="Keep tokens at least p times as likely as the likeliest. 0 is off."
    )
    typical_p: Typical = Field(
        default=None,
        description="Keep the tokens closest to the expected surprise until they reach p together. 1 is off.",
    )
    typical: Typical = Field(default=None, description="Another name of `typical_p`.")
    typ_p: Typical = Field(default=None, description="Another name of `typical_p`.")
    top_n_sigma: Annotated[float | None, Ge(-1), Le(WIDE), _truncation(-1.0, -1.0)] = Field(
        default=None,
        description="Keep tokens within n standard deviations of the highest logit, whatever `min_keep`. "
        "0 or less is off.",
    )
    xtc_probability: Annotated[float | None, Ge(0), Le(1), _truncation(0.0, 0.0)] = Field(
        default=None,
        description="Chance to drop all tokens above `xtc_threshold` but the least likely of them. 0 is off.",
    )
    xtc_threshold: Annotated[float | None, Ge(0), Le(1), _truncation(0.1, None)] = Field(
        default=None, description="How likely a token must be for XTC to drop it. Above 0.5 XTC is off."
    )
    min_keep: Annotated[int | None, Ge(0), Le(MAX_COUNT), _truncation(0, 0)] = Field(
        default=None, description="Fewest tokens that each truncating sampler leaves."
    )
    samplers: Annotated[SamplerList | None, _truncation(tuple(TRUNCATING), None)] = Field(
        default=None,
        description="The truncating samplers in the order in which they act; one that is not named is off. "
        "A list that also names `penalties`, `dry` or `temperature` is about these, too: those of them that "
        "it does not name are off, and `temperature` has its place in the order; `penalties` and `dry` come "
        "first. Also llama.cpp's other names (`typ_p`), and its texts: `top_k;top_p`, `kpm`.",
    )
    adaptive_target: Annotated[float | None, Ge(-1), Le(1), _draw(None)] = Field(
        default=None,
        description="Adaptive-p: prefer tokens about so likely. Off unless given; negative is off.",
    )
    adaptive_decay: Annotated[float | None, Ge(0), Le(0.99), _draw(0.9)] = Field(
        default=None, description="How slowly adaptive-p forgets how likely its past draws were."
    )
    mirostat: MirostatVersion = Field(
        default=None,
        description="Draw by mirostat 1 or 2, which keeps the surprise near `mirostat_tau`. Truncating "
        "samplers then act only if the request sets them. 0 is off.",
    )
    mirostat_mode: MirostatVersion = Field(default=None, description="Another name of `mirostat`.")
    mirostat_tau: Annotated[float | None, Gt(0), Le(WIDE), _draw(5.0)] = Field(
        default=None, description="Mirostat's target, in bits per token."
    )
    mirostat_eta: Annotated[float | None, Gt(0), Le(1), _draw(0.1)] = Field(
        default=None, description="How fast mirostat learns."
    )


class RepetitionFields(Schema):
    """What acts against repetition. All look at the prompt, too, as llama.cpp's do."""

    repeat_penalty: RepeatPenalty = Field(
        default=None,
        description="Divides positive logits of tokens seen lately, multiplies others. 1 is off.",
    )
    repetition_penalty: RepeatPenalty = Field(default=None, description="Another name of `repeat_penalty`.")
    repeat_last_n: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _penalty(64, LLAMA_CPP, None)] = Field(
        default=None,
        description="How many last tokens the repeat, presence and frequency penalties look at. "
        "0 is none, -1 the whole text.",
    )
    presence_penalty: Annotated[float | None, Ge(-2), Le(2), _penalty(0.0)] = Field(
        default=None, description="Taken from the logits of tokens seen lately. Negative favours them."
    )
    frequency_penalty: Annotated[float | None, Ge(-2), Le(2), _penalty(0.0)] = Field(
        default=None, description="Taken from a token's logit once for each time it was seen lately."
    )
    dry_multiplier: Annotated[float | None, Ge(0), Le(WIDE), _dry(0.0, neutral=0.0)] = Field(
        default=None,
        description="DRY: what a token loses that would make the text's end repeat an earlier passage: "
        "multiplier x base ^ (length - allowed length). 0 is off.",
    )
    dry_base: Annotated[float | None, Ge(1), Le(WIDE), _dry(1.75)] = Field(
        default=None, description="How fast DRY's penalty grows with the length of the repetition."
    )
    dry_allowed_length: Annotated[int | None, Ge(0), Le(MAX_COUNT), _dry(2)] = Field(
        default=None, description="Repetitions shorter than this are free."
    )
    dry_penalty_last_n: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _dry(64)] = Field(
        default=None, description="How many last tokens DRY looks at. 0 is none, -1 the whole text."
    )
    dry_sequence_breakers: Annotated[
        list[Breaker] | None, MaxLen(MAX_BREAKERS), _dry(("\n", ":", '"', "*")), Field(fail_fast=True)
    ] = Field(
        default=None,
        description="Texts over which DRY sees no repetition. At most 40 bytes each, at most 20 tokens "
        "after the token in which one begins.",
    )
