"""Decoding parameters as their papers define them, in float64 and without a thought for speed.

Shares no code with the engine. A row is always a whole one, with minus infinity for tokens that are out.

- top-k: Fan, Lewis, Dauphin 2018, arXiv:1805.04833
- top-p, the nucleus: Holtzman et al. 2019, arXiv:1904.09751
- min-p: Nguyen et al. 2024, arXiv:2407.01082
- locally typical: Meister et al. 2022, arXiv:2202.00666
- top-n-sigma: Tang et al. 2024, arXiv:2411.07641
- XTC and DRY: p-e-w, text-generation-webui pull requests 6335 and 5677
- dynamic temperature: kalomaze 2023, by entropy, as in llama.cpp
- mirostat: Basu et al. 2020, arXiv:2007.14966
- repetition penalty: Keskar et al. 2019, arXiv:1909.05858, negative logits multiplied instead
- adaptive-p: llama.cpp, `llama_sampler_init_adaptive_p`
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cut:
    """Who stays. `margin` says by how much, in logits or probability, the closest decision was made: rounding
    of less cannot have changed it. Tokens of equal logits are decided by their ids, which rounding leaves.
    """

    keep: Mask
    margin: float


def softmax(logits: Row) -> Row:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def entropy(logits: Row) -> float:
    """In nats, 0 log 0 being 0."""
    p = softmax(logits)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def alive(logits: Row) -> int:
    return int((logits > -np.inf).sum())


def by_likelihood(logits: Row) -> NDArray[np.intp]:
    """Token ids, the likeliest first; of equals the lowest id first."""
    return np.lexsort((np.arange(len(logits)), -logits))[: alive(logits)]


def first(logits: Row, order: NDArray[np.intp], count: int, key: Row) -> Cut:
    """The first `count` tokens of an order by `key`, ascending."""
    keep = np.zeros(len(logits), np.bool_)
    keep[order[:count]] = True
    if count >= len(order):
        return Cut(keep, np.inf)
    last = order[count - 1]
    alike = logits[order] == logits[last]
    kept = np.arange(len(order)) < count
    margin = nearest(key[order[~kept & ~alike]] - key[last])
    if (~kept & alike).any():
        margin = min(margin, nearest(key[order[kept & ~alike]] - key[last]))
    return Cut(keep, margin)


def nearest(distances: Row) -> float:
    return float(np.abs(distances).min(initial=np.inf))


def top_k(logits: Row, k: int) -> Cut:
    """The k likeliest."""
    return first(logits, by_likelihood(logits), k, -logits)


def top_p(logits: Row, p: float, min_keep: int) -> Cut:
    """The smallest set of likeliest tokens with a probability of at least p together."""
    order = by_likelihood(logits)
    together = np.cumsum(softmax(logits)[order])
    count = next((i + 1 for i, sum_ in enumerate(together) if sum_ >= p), len(order))
    cut = first(logits, order, max(count, min_keep), -logits)
    return Cut(cut.keep, min(cut.margin, nearest(together - p)) if min_keep < len(order) else np.inf)


def min_p(logits: Row, p: float, min_keep: int) -> Cut:
    """At least p times as likely as the likeliest."""
    limit = logits.max() + math.log(p)
    keep = logits >= limit
    margin = nearest((logits - limit)[logits < logits.max()])
    if keep.sum() >= min_keep:
        return Cut(keep, margin)
    cut = top_k(logits, min_keep)
    return Cut(cut.keep, min(margin, cut.margin))


def typical_p(logits: Row, p: float, min_keep: int) -> Cut:
    """Those of the most usual surprise, until they have more than p together."""
    probabilities = softmax(logits)
    surprise = np.log(np.exp(logits - logits.max()).sum()) - (logits - logits.max())
    distance = np.abs(surprise - entropy(logits))
    order = np.lexsort((np.arange(len(logits)), distance))[: alive(logits)]
    together = np.cumsum(probabilities[order])
    count = next((i + 1 for i, sum_ in enumerate(together) if sum_ > p), len(order))
    cut = first(logits, order, max(count, min_keep), distance)
    return Cut(cut.keep, min(cut.margin, nearest(together - p)))


def top_n_sigma(logits: Row, n: float) -> Cut:
    """Within n standard deviations, of the logits that are left, of the highest."""
    valid = logits[logits > -np.inf]
    deviation = math.sqrt(((valid - valid.mean()) ** 2).mean())
    limit = logits.max() - n * deviation
    margin = nearest((logits - limit)[logits < logits.max()])
    return Cut(logits >= limit, margin)


def xtc(logits: Row, threshold: float, min_keep: int) -> Cut:
    """Without all of those above the threshold but the least likely (the last of equally likely ones)."""
    probabilities = softmax(logits)
    order = by_likelihood(logits)
    above = [token for token in order if probabilities[token] >= threshold]
    margin = nearest(probabilities[order] - threshold)
    keep = logits > -np.inf
    if len(above) > 1 and len(order) - (len(above) - 1) >= min_keep:
        keep[above[:-1]] = False
        gap = float(logits[above[-2]] - logits[above[-1]])
        margin = min(margin, gap or np.inf)
    return Cut(keep, margin)


def temperature(logits: Row, value: float) -> Row:
    """Divided; at 0 only the likeliest is left."""
    if value == 0:
        return np.where(top_k(logits, 1).keep, logits, -np.inf)
    return np.asarray(logits / value)


def dynamic_temperature(logits: Row, middle: float, spread: float, exponent: float) -> float:
    """Between middle - spread and middle + spread, by the entropy relative to that of as many equals."""
    if alive(logits) == 1:
        return middle
    relative = max(entropy(logits) / math.log(alive(logits)), 0.0)
    low, high = max(0.0, middle - spread), middle + spread
    return float(low + (high - low) * relative**exponent)


def mirostat_top_k(logits: Row, mu: float) -> int:
    """Algorithm 1: Zipf's exponent, fitted to the 100 likeliest, and from it the k that surprises by mu."""
    p = softmax(logits)[by_likelihood(logits)][:100]
    if len(p) == 1:
        return 1
    ranks = np.arange(1, len(p))
    t = np.log((ranks + 1) / ranks)
    b = np.log(p[:-1] / p[1:])
    s = float((t * b).sum() / (t * t).sum())
    epsilon = s - 1
    vocabulary = len(logits)
    k = (epsilon * 2**mu / (1 - vocabulary**-epsilon)) ** (1 / s)
    return max(1, min(int(k), alive(logits)))


def adaptive_weights(logits: Row, goal: float) -> Row:
    """New logits by the distance of each probability from the goal: a parabola that turns into a line."""
    distance = np.abs(softmax(logits) - goal) / 0.3
    return np.where(logits > -np.inf, 5 - 10 * distance**2 / (1 + distance), -np.inf)
