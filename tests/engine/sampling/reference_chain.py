"""All of the reference in one: the distribution of the next token of a request, and its draw."""

import random
from dataclasses import dataclass

import numpy as np
from caravan.engine.params import SamplingParams
from numpy.typing import NDArray

from tests.engine.sampling import reference, reference_text
from tests.engine.sampling.reference import Cut, Row


@dataclass(frozen=True)
class Distribution:
    """Tokens that may come, in order of id, with their probabilities; `margin` as of a `Cut`."""

    ids: NDArray[np.intp]
    probabilities: Row
    margin: float


class ReferenceChain:
    """One choice of a request. Chance comes from the stream that the engine promises for its seed:
    one number where XTC may strike, one where a token is drawn from more than one.
    """

    def __init__(self, params: SamplingParams, prompt: list[int], end_ids: set[int], index: int = 0) -> None:
        self._params = params
        self._text = list(prompt)
        self._num_drawn = 0
        self._end_ids = end_ids
        self._random = random.Random(f"{params.seed}/{index}")
        self.mu = 2 * params.mirostat_tau
        self.surprises: list[float] = []
        self._adaptive = [
            params.adaptive_target / (1 - params.adaptive_decay),
            1 / (1 - params.adaptive_decay),
        ]

    def logits(self, row: NDArray[np.float32]) -> Row:
        """A model's row with rules, penalties and DRY applied."""
        logits = row.astype(np.float64)
        params = self._params
        logits = reference_text.restrict(logits, self._text, self._num_drawn, params, self._end_ids)
        logits = reference_text.penalise(logits, self._text, params)
        return reference_text.dry(logits, self._text, params)

    def distribution(self, row: NDArray[np.float32]) -> Distribution:
        """Of the next token, mirostat and adaptive-p left aside."""
        tempered, margin = self._tempered(self.logits(row))
        ids = np.flatnonzero(tempered > -np.inf)
        return Distribution(ids, reference.softmax(tempered)[ids], margin)

    def draw(self, row: NDArray[np.float32]) -> int:
        """Take the next token."""
        logits, _ = self._tempered(self.logits(row))
        if self._params.mirostat:
            token = self._draw_mirostat(logits)
        elif self._params.adaptive_target >= 0:
            token = self._draw_adaptive(logits)
        elif reference.alive(logits) == 1:
            token = int(logits.argmax())
        else:
            token = self._pick(reference.softmax(logits))
        self._text.append(token)
        self._num_drawn += 1
        return token

    def _tempered(self, logits: Row) -> tuple[Row, float]:
        margin = np.inf
        last = [] if "temperature" in self._params.samplers else ["temperature"]
        for name in (*self._params.samplers, *last):
            if name == "temperature":
                logits = self._heated(logits)
                continue
            cut = self._cut(name, logits)
            logits = np.where(cut.keep, logits, -np.inf)
            margin = min(margin, cut.margin)
        return logits, margin

    def _heated(self, logits: Row) -> Row:
        value = self._params.temperature
        if self._params.dynatemp_range > 0:
            value = reference.dynamic_temperature(
                logits, value, self._params.dynatemp_range, self._params.dynatemp_exponent
            )
        return reference.temperature(logits, value)

    def _cut(self, name: str, logits: Row) -> Cut:
        params, keep = self._params, self._params.min_keep
        if name == "top_k" and params.top_k > 0:
            return reference.top_k(logits, max(params.top_k, keep))
        if name == "top_p" and params.top_p < 1:
            return reference.top_p(logits, params.top_p, keep)
        if name == "min_p" and params.min_p > 0:
            return reference.min_p(logits, params.min_p, keep)
        if name == "typical_p" and params.typical_p < 1:
            return reference.typical_p(logits, params.typical_p, keep)
        if name == "top_n_sigma" and params.top_n_sigma > 0:
            return reference.top_n_sigma(logits, params.top_n_sigma)
        if name == "xtc" and self._xtc_strikes(logits):
            return reference.xtc(logits, params.xtc_threshold, keep)
        return Cut(logits > -np.inf, np.inf)

    def _xtc_strikes(self, logits: Row) -> bool:
        params = self._params
        if params.xtc_probability <= 0 or params.xtc_threshold > 0.5 or reference.alive(logits) < 2:
            return False
        return self._random.random() <= params.xtc_probability

    def _draw_mirostat(self, logits: Row) -> int:
        if self._params.mirostat == 1:
            keep = reference.top_k(logits, reference.mirostat_top_k(logits, self.mu)).keep
        else:
            with np.errstate(divide="ignore"):
                keep = -np.log2(reference.softmax(logits)) <= self.mu
            keep = keep if keep.any() else reference.top_k(logits, 1).keep
        probabilities = reference.softmax(np.where(keep, logits, -np.inf))
        token = self._pick(probabilities)
        self.surprises.append(float(-np.log2(probabilities[token])))
        self.mu -= self._params.mirostat_eta * (self.surprises[-1] - self._params.mirostat_tau)
        return token

    def _draw_adaptive(self, logits: Row) -> int:
        """The goal mirrors the weighted mean of past probabilities at the target."""
        weighted, total = self._adaptive
        goal = min(max(2 * self._params.adaptive_target - weighted / total, 0), 1)
        token = self._pick(reference.softmax(reference.adaptive_weights(logits, goal)))
        decay = self._params.adaptive_decay
        self._adaptive = [
            float(reference.softmax(logits)[token]) + decay * weighted,
            1 + decay * total,
        ]
        return token

    def _pick(self, probabilities: Row) -> int:
        """The first token, by id, at which the running sum passes a random number."""
        reached = np.cumsum(probabilities)
        return int(np.argmax(reached > self._random.random() * reached[-1]))
