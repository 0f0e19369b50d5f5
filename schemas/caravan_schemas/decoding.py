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
        description="Divides the logits. Below 1 likely tokens become likelier, above 1 the text varies more;"
        " 0 always takes the likeliest token. OpenAI's range ends at 2.",
    )
    dynatemp_range: Annotated[float | None, Ge(0), Le(WIDE), _temperature(0.0, neutral=0.0)] = Field(
        default=None,
        description="Moves the temperature by up to this much: down where the model is sure of the next "
        "token, up where it is not. 0 is off.",
    )
    dynatemp_exponent: Annotated[float | None, Gt(0), Le(WIDE), _temperature(1.0)] = Field(
        default=None,
        description="How the temperature of `dynatemp_range` follows the entropy, which is scaled to 0 to 1 "
        "and raised to this power. 1 is linear.",
    )
    top_k: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _truncation(40, 0)] = Field(
        default=None, description="Keep the k likeliest tokens. 0 and -1 are off."
    )
    top_p: Annotated[float | None, Ge(0), Le(1), _truncation(0.95, 1.0, OPENAI)] = Field(
        default=None,
        description="Keep the fewest likeliest tokens whose probabilities add up to p. 1 is off; 0 keeps one "
        "token.",
    )
    min_p: Annotated[float | None, Ge(0), Le(1), _truncation(0.05, 0.0)] = Field(
        default=None,
        description="Keep the tokens whose probability is at least p times that of the likeliest. 0 is off.",
    )
    typical_p: Typical = Field(
        default=None,
        description="Locally typical sampling: keep the tokens whose surprise is closest to the expected one,"
        " until their probabilities add up to p. 1 is off.",
    )
    typical: Typical = Field(default=None, description="Another name of `typical_p`.")
    typ_p: Typical = Field(default=None, description="Another name of `typical_p`.")
    top_n_sigma: Annotated[float | None, Ge(-1), Le(WIDE), _truncation(-1.0, -1.0)] = Field(
        default=None,
        description="Keep the tokens whose logits are at most n standard deviations below the highest. 0 and "
        "less are off. `min_keep` does not hold here.",
    )
    xtc_probability: Annotated[float | None, Ge(0), Le(1), _truncation(0.0, 0.0)] = Field(
        default=None,
        description="XTC (exclude top choices): the chance that, of the tokens as likely as `xtc_threshold` "
        "or likelier, all but the least likely are dropped. 0 is off.",
    )
    xtc_threshold: Annotated[float | None, Ge(0), Le(1), _truncation(0.1, None)] = Field(
        default=None, description="The probability from which on XTC may drop a token. Above 0.5, XTC is off."
    )
    min_keep: Annotated[int | None, Ge(0), Le(MAX_COUNT), _truncation(0, 0)] = Field(
        default=None, description="The fewest tokens that each truncating sampler keeps."
    )
    samplers: Annotated[SamplerList | None, _truncation(tuple(TRUNCATING), None)] = Field(
        default=None,
        description="The truncating samplers, in the order in which they act; those not named are off. A list"
        " that also names `penalties`, `dry` or `temperature` covers these three, too: those it "
        "leaves out are off, and `temperature` acts at its place; `penalties` and `dry` always "
        "come first. `infill` is for gaps in code: it ends the text where that is likely, and looks "
        "at the 1000 likeliest tokens. llama.cpp's other names (`typ_p`) and its texts "
        "(`top_k;top_p`, `kpm`) work, too.",
    )
    adaptive_target: Annotated[float | None, Ge(-1), Le(1), _draw(None)] = Field(
        default=None,
        description="Adaptive-p: prefer tokens whose probability is near this. Negative is off, and so is "
        "leaving it out.",
    )
    adaptive_decay: Annotated[float | None, Ge(0), Le(0.99), _draw(0.9)] = Field(
        default=None,
        description="How slowly adaptive-p forgets how likely the tokens were that it has drawn.",
    )
    mirostat: MirostatVersion = Field(
        default=None,
        description="Draw by mirostat, version 1 or 2, which keeps the surprise of the tokens near "
        "`mirostat_tau`. Truncating samplers then act only if the request sets them. 0 is off.",
    )
    mirostat_mode: MirostatVersion = Field(default=None, description="Another name of `mirostat`.")
    mirostat_tau: Annotated[float | None, Gt(0), Le(WIDE), _draw(5.0)] = Field(
        default=None, description="The surprise that mirostat aims at, in bits per token."
    )
    mirostat_eta: Annotated[float | None, Gt(0), Le(1), _draw(0.1)] = Field(
        default=None, description="How fast mirostat corrects itself: its learning rate."
    )


class RepetitionFields(Schema):
    """What acts against repetition. All look at the prompt, too, as llama.cpp's do."""

    repeat_penalty: RepeatPenalty = Field(
        default=None,
        description="Makes tokens that occur among the last `repeat_last_n` less likely: it divides their "
        "logits where these are positive, and multiplies them where negative. 1 is off.",
    )
    repetition_penalty: RepeatPenalty = Field(default=None, description="Another name of `repeat_penalty`.")
    repeat_last_n: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _penalty(64, LLAMA_CPP, None)] = Field(
        default=None,
        description="How many of the last tokens, of prompt and answer, `repeat_penalty`, `presence_penalty` "
        "and `frequency_penalty` look at. 0 is none, -1 is all.",
    )
    presence_penalty: Annotated[float | None, Ge(-2), Le(2), _penalty(0.0)] = Field(
        default=None,
        description="Subtracted from the logits of tokens that occur among the last `repeat_last_n`. Negative"
        " values make them likelier. 0 is off.",
    )
    frequency_penalty: Annotated[float | None, Ge(-2), Le(2), _penalty(0.0)] = Field(
        default=None,
        description="Subtracted from the logit of a token once for each time that it occurs among the last "
        "`repeat_last_n`. Negative values make it likelier. 0 is off.",
    )
    dry_multiplier: Annotated[float | None, Ge(0), Le(WIDE), _dry(0.0, neutral=0.0)] = Field(
        default=None,
        description="DRY: makes tokens less likely that would go on repeating an earlier passage. After n "
        "repeated tokens it subtracts multiplier x base ^ (n - allowed length). 0 is off.",
    )
    dry_base: Annotated[float | None, Ge(1), Le(WIDE), _dry(1.75)] = Field(
        default=None, description="How fast the penalty of DRY grows with the length of the repetition."
    )
    dry_allowed_length: Annotated[int | None, Ge(0), Le(MAX_COUNT), _dry(2)] = Field(
        default=None, description="The length in tokens from which on DRY penalises a repetition."
    )
    dry_penalty_last_n: Annotated[int | None, Ge(-1), Le(MAX_COUNT), _dry(64)] = Field(
        default=None,
        description="How many of the last tokens, of prompt and answer, DRY looks at. 0 is none, -1 is all.",
    )
    dry_sequence_breakers: Annotated[
        list[Breaker] | None, MaxLen(MAX_BREAKERS), _dry(("\n", ":", '"', "*")), Field(fail_fast=True)
    ] = Field(
        default=None,
        description="Texts at which a repetition ends for DRY. Each has at most 40 bytes, and at most 20 "
        "tokens after the token in which it begins.",
    )
