"""The tokens that are still possible, and how likely each is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Blocks of this many logits are first compared by their maxima alone.
_BLOCK = 64

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Token `ids` [n] with their `logits` [n], all finite, n at least 1; `is_sorted` if likeliest first.

    The functions of this package take one and return another; none changes the arrays of its argument.
    """

    ids: Ids
    logits: Floats
    is_sorted: bool = False

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.ids)

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax over the candidates, float64 [n]."""
        weights: NDArray[np.float64] = np.exp(self.logits - self.logits.max()).astype(np.float64)
        weights /= weights.sum()
        return weights

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_] | slice, *, is_sorted: bool) -> "Candidates":
        """The candidates at these places."""
        return Candidates(self.ids[index], self.logits[index], is_sorted)

    def sorted(self) -> "Candidates":
        """All of them, likeliest first; equal logits by place."""
        if self.is_sorted:
            return self
        return self.take(np.argsort(-self.logits, kind="stable"), is_sorted=True)

    def top(self, count: int) -> "Candidates":
        """The `count` likeliest, likeliest first."""
        if count >= self.size or self.is_sorted:
            return self.sorted().take(slice(count), is_sorted=True)
        return self.take(_top_places(self.logits, count), is_sorted=False).sorted()


def from_row(logits: Floats, ids: Ids, at_most: int | None = None) -> Candidates:
    """Candidates of tokens with these logits [n], banned ones (minus infinity) left out.

    `ids` [n] ascend. Where tokens are banned, the `at_most` likeliest suffice, which
    spares copying the rest. Raises ValueError when nothing is left, or a logit is no number.
    """
    low = logits.min()
    if np.isfinite(low) and np.isfinite(logits.max()):
        return Candidates(ids, logits)
    if np.isnan(low) or logits.max() == np.inf:
        raise ValueError("a logit is not a number")
    if at_most is not None:
        left = Candidates(ids, logits).top(at_most)
        left = left.take(left.logits > -np.inf, is_sorted=True)
    else:
        keep = np.flatnonzero(logits > -np.inf)
        left = Candidates(ids[keep], logits[keep])
    if left.size == 0:
        raise ValueError("every token is banned")
    return left


def _top_places(logits: Floats, count: int) -> NDArray[np.intp]:
    """Places of the `count` largest, in no order.

    The largest `count` lie in the `count` blocks with the largest maxima, so that most logits are looked at
    once, in a pass that the processor vectorises.
    """
    num_blocks = len(logits) // _BLOCK
    if num_blocks <= 2 * count:
        return np.argpartition(logits, -count)[-count:]
    whole = logits[: num_blocks * _BLOCK]
    maxima = whole.reshape(num_blocks, _BLOCK).max(axis=1)
    blocks = np.argpartition(maxima, -count)[-count:]
    places = (blocks[:, None] * _BLOCK + np.arange(_BLOCK)).ravel()
    places = np.concatenate([places, np.arange(len(whole), len(logits))])
    return places[np.argpartition(logits[places], -count)[-count:]]
