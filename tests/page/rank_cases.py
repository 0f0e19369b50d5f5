"""Rows as `POST /v1/decoding/explain` tells them, and what the sampling stages themselves make of them."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Candidates, from_row
from caravan.engine.sampling.draws import cut_by_rank, cut_by_surprise
from caravan.engine.sampling.logits_processors import RepetitionPenalties
from caravan.engine.sampling.stages import ordered_stages
from numpy.typing import NDArray

from tests.engine.sampling.rows import NEUTRAL

# Parameters by which the page ranks.
_NAMES = (
    *("temperature", "dynatemp_range", "dynatemp_exponent", "top_k", "top_p", "min_p", "typical_p"),
    *("top_n_sigma", "xtc_probability", "xtc_threshold", "min_keep", "samplers", "mirostat"),
    *("adaptive_target", "repeat_penalty", "presence_penalty", "frequency_penalty", "repeat_last_n"),
)


@dataclass(frozen=True)
class Case:
    """A whole row of logits, how many of its likeliest tokens are stored, and how it is to be ranked."""

    logits: NDArray[np.float32]
    stored: int
    changes: Mapping[str, object]
    mu: float = 10.0
    context: tuple[int, ...] = ()

    @property
    def params(self) -> SamplingParams:
        """The parameters as the engine has them."""
        return SamplingParams(**{**NEUTRAL, **self.changes})

    def told(self) -> dict[str, object]:
        """The case as the page has it."""
        return {
            "stage": told(candidates(self.logits), self.stored),
            "parameters": {name: getattr(self.params, name) for name in _NAMES},
            "circumstances": {
                "acts": True,
                "mu": self.mu,
                "numTokens": len(self.logits),
                "context": self.context or None,
            },
        }

    def ranked(self) -> Candidates:
        """What the engine's own stages leave for the draw, XTC acting."""
        params, row = self.params, self.logits.copy()
        if self.context:
            penalties = RepetitionPenalties(
                repeat=params.repeat_penalty,
                presence=params.presence_penalty,
                frequency=params.frequency_penalty,
                window=params.repeat_last_n,
            )
            penalties.accept(self.context)
            penalties.apply(row)
        left = candidates(row)
        for stage in ordered_stages(params, _Lowest(), lambda kept: kept):
            left = stage(left)
        if params.mirostat == 1:
            return cut_by_rank(left, self.mu, len(row))
        return cut_by_surprise(left, self.mu) if params.mirostat else left


class _Lowest(random.Random):
    """Chance that has XTC act."""

    def random(self) -> float:
        return 0.0


def candidates(row: NDArray[np.float32]) -> Candidates:
    """All tokens of a row that are not banned."""
    return from_row(row, np.arange(len(row), dtype=np.int32))


def told(left: Candidates, most: int) -> dict[str, object]:
    """A stage as the route tells it."""
    order = np.lexsort((left.ids, -left.logits.astype(np.float64)))[:most]
    peak = float(left.logits.max())
    total = float(left.weights().sum(dtype=np.float64))
    return {
        "name": "raw",
        "left": left.size,
        "entropy": left.entropy() / math.log(2),
        "log_sum_exp": peak + math.log(total),
        "deviation": float(np.std(left.logits.astype(np.float64))),
        "candidates": [{"id": int(left.ids[i]), "logit": float(left.logits[i])} for i in order],
    }
