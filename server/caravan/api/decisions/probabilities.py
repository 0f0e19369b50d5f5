"""Log probabilities of labels into shares that add up to 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from caravan_schemas.decisions import Normalization


@dataclass(frozen=True)
class LabelScore:
    """`logprob` of all its tokens together, the end included, which `num_tokens` counts, too."""

    logprob: float
    num_tokens: int


@dataclass(frozen=True)
class Shares:
    """`probabilities` add up to 1; `mass` is what the labels' own probabilities add up to."""

    probabilities: list[float]
    mass: float


def shares(
    scores: Sequence[LabelScore], normalization: Normalization, prior: Sequence[LabelScore] | None
) -> Shares:
    """Share 1 among labels by their scores; `prior` are their scores without the input."""
    logprobs = [score.logprob for score in scores]
    if normalization == "length":
        weights = [score.logprob / score.num_tokens for score in scores]
    elif prior is not None:
        weights = [score.logprob - before.logprob for score, before in zip(scores, prior, strict=True)]
    else:
        weights = logprobs
    total = log_sum(weights)
    return Shares([math.exp(weight - total) for weight in weights], min(1.0, math.exp(log_sum(logprobs))))


def log_sum(logprobs: Sequence[float]) -> float:
    """Add up probabilities that are given by their logarithms, however small."""
    highest = max(logprobs)
    return highest + math.log(sum(math.exp(logprob - highest) for logprob in logprobs))
