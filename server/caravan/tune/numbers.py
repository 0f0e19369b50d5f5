"""Means and how far they can be trusted: Student's t, over repeats or over prompts."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# The 97.5 % quantiles of Student's t by degrees of freedom, from 1.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_NORMAL = 1.95996

# For each prompt, the scores of its answers.
Scores = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A mean, and half the width of its 95 % confidence interval; None where nothing tells."""

    mean: float
    half: float | None
    num_scores: int

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.half is None else f"{self.mean:.4g} ± {self.half:.2g}"

    @property
    def low(self) -> float:
        """Where the interval begins; the mean where there is none."""
        return self.mean - (self.half or 0.0)

    @property
    def high(self) -> float:
        """Where it ends."""
        return self.mean + (self.half or 0.0)


def noise(scores: Scores) -> Estimate:
    """Estimate the mean for these very prompts: only what differs between repeats makes it uncertain.

    Without repeats, it is as `spread`.
    """
    if any(len(row) < 2 for row in scores):
        return spread(scores)
    variance = sum(statistics.variance(row) / len(row) for row in scores) / len(scores) ** 2
    freedom = sum(len(row) - 1 for row in scores)
    return Estimate(_mean(scores), _t(freedom) * math.sqrt(variance), sum(map(len, scores)))


def spread(scores: Scores) -> Estimate:
    """Estimate the mean for prompts of this kind: prompts are the sample, with repeats averaged."""
    count = sum(map(len, scores))
    means = [statistics.fmean(row) for row in scores]
    if len(means) < 2:
        return noise(scores) if count > 1 else Estimate(_mean(scores), None, count)
    error = statistics.stdev(means) / math.sqrt(len(means))
    return Estimate(_mean(scores), _t(len(means) - 1) * error, count)


def gain(scores: Scores, others: Scores) -> Estimate:
    """Estimate by how much the first are higher, prompt by prompt."""
    pairs = zip(scores, others, strict=True)
    return spread([[statistics.fmean(mine) - statistics.fmean(theirs)] for mine, theirs in pairs])


def overlap(one: Estimate, other: Estimate) -> bool:
    """Whether the difference of two means is within the noise of both."""
    return abs(one.mean - other.mean) <= math.hypot(one.half or 0.0, other.half or 0.0)


def _mean(scores: Scores) -> float:
    return statistics.fmean(statistics.fmean(row) for row in scores)


def _t(freedom: int) -> float:
    # The first terms of Cornish and Fisher's expansion are exact enough beyond the table.
    if freedom <= len(_T):
        return _T[freedom - 1]
    return _NORMAL + (_NORMAL**3 + _NORMAL) / (4 * freedom)
