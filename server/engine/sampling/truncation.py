"""Samplers that leave unlikely (or, for XTC, too likely) tokens out. Each keeps at least one candidate."""

import math
import random

import numpy as np
from numpy.typing import NDArray

from server.engine.sampling.candidates import Candidates

_FIRST_LOOK = 256


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k likeliest; 0 keeps all."""
    return candidates if k <= 0 else candidates.top(k)


def top_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """The fewest likeliest whose probabilities reach p together (nucleus, Holtzman et al. 2019)."""
    if p >= 1:
        return candidates
    total = np.exp(candidates.logits - candidates.logits.max()).sum(dtype=np.float64)
    look = _FIRST_LOOK
    while True:
        best = candidates.top(look)
        reached = np.cumsum(np.exp(best.logits - best.logits[0]), dtype=np.float64) / total
        count = int(np.searchsorted(reached, p)) + 1
        if count <= best.size or best.size == candidates.size:
            return best.take(slice(max(count, min_keep, 1)), is_sorted=True)
        look *= 8


def min_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """All at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    if p <= 0:
        return candidates
    keep = candidates.logits >= candidates.logits.max() + np.float32(math.log(p))
    if int(np.count_nonzero(keep)) >= min_keep:
        return candidates.take(keep, is_sorted=candidates.is_sorted)
    return candidates.top(min_keep)


def typical_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """Those whose surprise is closest to the entropy, until they reach p together (Meister et al. 2022)."""
    if p >= 1:
        return candidates
    probabilities = candidates.probabilities()
    with np.errstate(divide="ignore"):
        surprise = -np.log(probabilities)
    possible = probabilities > 0
    entropy = float(np.sum(probabilities[possible] * surprise[possible]))
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    # The first token that takes the sum above p is kept, unlike in top_p, where reaching p is enough.
    count = int(np.searchsorted(np.cumsum(probabilities[order]), p, side="right")) + 1
    return candidates.take(order[: max(count, min_keep, 1)], is_sorted=False)


def top_n_sigma(candidates: Candidates, n: float) -> Candidates:
    """All within n standard deviations of the highest logit (Tang et al. 2024); n <= 0 keeps all."""
    if n <= 0 or candidates.size <= 1:
        return candidates
    deviation = float(candidates.logits.std(dtype=np.float64))
    keep = candidates.logits >= candidates.logits.max() - n * deviation
    return candidates.take(keep, is_sorted=candidates.is_sorted)


def xtc(
    candidates: Candidates, probability: float, threshold: float, rng: random.Random, min_keep: int = 1
) -> Candidates:
    """Exclude top choices: by chance, drop all tokens above the threshold but the least likely of them.

    Nothing happens above a threshold of one half, where there is never a second such token. The chance is
    taken from `rng` once per call that could matter (p-e-w's definition, as in `llama_sampler_init_xtc`).
    """
    if probability <= 0 or threshold > 0.5 or candidates.size < 2 or rng.random() > probability:
        return candidates
    probabilities: NDArray[np.float64] = candidates.probabilities()
    above = np.flatnonzero(probabilities >= threshold)
    num_dropped = len(above) - 1
    if num_dropped < 1 or candidates.size - num_dropped < min_keep:
        return candidates
    # Of equals, the one that comes last stays, as in a stable descending order.
    order = above[np.argsort(-probabilities[above], kind="stable")]
    keep = np.ones(candidates.size, np.bool_)
    keep[order[:-1]] = False
    return candidates.take(keep, is_sorted=candidates.is_sorted)
