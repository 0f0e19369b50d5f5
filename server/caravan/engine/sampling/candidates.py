"""The tokens that are still possible, and how likely each is."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caravan.engine.outputs import TokenLogprob, packed_top
from caravan.llama import rows

# Of this many logits, standing in different rows of a table, one look takes the largest.
_COLUMN = 64
# OpenAI's word for a token that cannot come; minus infinity is no JSON.
_LEAST = -9999.0

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Token `ids` [n], ascending, with their `logits` [n], all finite, n at least 1.

    Wherever only some of several equally likely tokens may stay, those with the lowest ids do. The functions
    of this package take candidates and return others; none changes the arrays of its argument.
    """

    ids: Ids
    logits: Floats

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.ids)

    def weights(self) -> Floats:
        """Tell what the probabilities are proportional to, 1 for the likeliest."""
        weights: Floats = self.logits - self.logits.max()
        np.exp(weights, out=weights)
        return weights

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax over the candidates, float64 [n]."""
        weights: NDArray[np.float64] = self.weights().astype(np.float64)
        weights /= weights.sum()
        return weights

    def entropy(self) -> float:
        """Mean surprise of a draw, in nats."""
        below = self.logits - self.logits.max()
        weights = np.exp(below).astype(np.float64)
        total = float(weights.sum())
        return math.log(total) - mean_product(weights, below.astype(np.float64)) * self.size / total

    def place_of(self, token_id: int) -> int | None:
        """Find where a token stands, if it is among them."""
        place = int(self.ids.searchsorted(np.int32(token_id)))
        return place if place < self.size and self.ids[place] == token_id else None

    def take(self, places: NDArray[np.integer]) -> "Candidates":
        """Keep the candidates at these places, which ascend."""
        return Candidates(self.ids[places], self.logits[places])

    def where(self, keep: Mask) -> "Candidates":
        """Keep the candidates that `keep` marks."""
        # Places first: NumPy is several times faster with them than with a mask.
        return self.take(keep.nonzero()[0])

    def top(self, count: int) -> "Candidates":
        """Keep the `count` likeliest, all if there are fewer."""
        if count >= self.size:
            return self
        if (likeliest := rows.largest(self.logits, count)) is not None:
            return self.take(likeliest)
        if count == 1:
            return self.take(np.array([self.logits.argmax()]))
        found = _reaching(self.logits, count)
        if found is None:
            return self.where(largest(self.logits, count))
        places, _ = found
        return self.take(places[largest(self.logits[places], count)])


def from_row(logits: Floats, ids: Ids, at_most: int | None = None) -> Candidates:
    """Make candidates of tokens with these logits [n], banned ones (minus infinity) left out.

    `ids` [n] ascend. Where it is said that the `at_most` likeliest suffice, others may be left out.
    Raises ValueError when nothing is left, or a logit is no number.
    """
    left = Candidates(ids, logits)
    if at_most is not None and (likeliest := rows.largest(logits, at_most)) is not None:
        return left.take(likeliest)
    found = None if at_most is None else _reaching(logits, at_most)
    if found is not None:
        places, peak = found
        check_peak(peak)
        return left.take(places)
    low, high = logits.min(), logits.max()
    check_peak(np.nan if np.isnan(low) else high)
    if np.isfinite(low):
        return left
    if at_most is not None:
        left = left.top(at_most)
    return left.where(left.logits > -np.inf)


def check_peak(peak: np.floating | float) -> None:
    """Refuse rows by their largest logit, which is NaN if any is."""
    if peak == -np.inf:
        raise ValueError("every token is banned")
    if not np.isfinite(peak):
        raise ValueError("a logit is not a number")


def mean_product(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Mean of the products, of one thread's making: BLAS would wait for a core that llama.cpp keeps busy."""
    return float(np.einsum("i,i->", left, right)) / len(left)


def largest(values: NDArray[np.floating], count: int) -> Mask:
    """Mark the `count` largest; of equal ones the first. `count` is 1 to the number of values."""
    limit = np.partition(values, -count)[-count]
    keep: Mask = values >= limit
    surplus = int(np.count_nonzero(keep)) - count
    if surplus:
        keep[np.flatnonzero(values == limit)[-surplus:]] = False
    return keep


def _reaching(logits: Floats, count: int) -> tuple[NDArray[np.intp], np.floating] | None:
    """Places, ascending, of at least `count` logits, the largest and few others, and the largest of them all,
    which is NaN if any is; None where looking for them this way is no gain.

    With the row written as a table of `_COLUMN` lines, the maximum of each column is one vectorised pass, and
    `count` columns reach the `count`-th largest maximum.
    """
    width = len(logits) // _COLUMN
    if width <= 2 * count:
        return None
    table, rest = logits[: width * _COLUMN].reshape(_COLUMN, width), logits[width * _COLUMN :]
    maxima = table.max(axis=0)
    peak = np.maximum(maxima.max(), rest.max(initial=-np.inf))
    floor = np.partition(maxima, -count)[-count]
    if np.isfinite(peak) and floor == -np.inf:
        return None
    return (logits >= floor).nonzero()[0], peak


class LogSoftmax:
    """The log-softmax of some tokens' logits [n], as they are now: its total and its `num_top` likeliest.

    `ids` [n] ascend. Banned tokens (minus infinity) are left out of the likeliest.
    """

    def __init__(self, logits: Floats, ids: Ids, num_top: int) -> None:
        highest = float(logits.max())
        # A row without a finite maximum is refused by whoever draws from it.
        total = float(np.exp(logits - highest).sum(dtype=np.float64)) if math.isfinite(highest) else math.nan
        self._logits, self._ids = logits, ids
        self._log_total = highest + math.log(total)
        self._top = b""
        if num_top:
            top = Candidates(ids, logits).top(num_top)
            places = np.argsort(-top.logits, kind="stable")
            places = places[top.logits[places] > -np.inf]
            self._top = packed_top(
                top.ids[places].tolist(), (top.logits[places].astype(np.float64) - self._log_total).tolist()
            )

    def of(self, token_id: int) -> TokenLogprob:
        """Return a token's log probability; its logit is still what it was when the softmax was taken."""
        logit = self._logits[self._ids.searchsorted(np.int32(token_id))]
        logprob = max(float(logit) - self._log_total, _LEAST)
        return TokenLogprob(token_id, logprob, self._top)
