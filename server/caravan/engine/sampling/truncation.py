"""Samplers that leave unlikely (or, for XTC, too likely) tokens out. Each keeps at least one candidate."""

import math
import random

import numpy as np

from caravan.engine.sampling.candidates import Candidates, Floats, mean_product

_FIRST_LOOK = 256


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k likeliest; 0 keeps all."""
    return candidates if k <= 0 else candidates.top(k)


def top_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """The fewest likeliest whose probabilities reach p together (nucleus, Holtzman et al. 2019)."""
    if p >= 1:
        return candidates
    look = max(_FIRST_LOOK, min_keep)
    total = None if candidates.size <= look else float(candidates.weights().sum(dtype=np.float64))
    while True:
        best = candidates.top(look)
        falling = np.sort(best.logits)[::-1]
        reached = np.exp(falling - falling[0]).cumsum(dtype=np.float64)
        goal = p * (float(reached[-1]) if total is None else total)
        count = int(reached.searchsorted(goal)) + 1
        if count <= best.size or best.size == candidates.size:
            return best.top(max(count, min_keep))
        look *= 16


def min_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """All at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    if p <= 0:
        return candidates
    keep = candidates.logits >= candidates.logits.max() + np.float32(math.log(p))
    if int(np.count_nonzero(keep)) >= min_keep:
        return candidates.where(keep)
    return candidates.top(min_keep)


def typical_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """Those whose surprise is closest to the entropy, until they exceed p together (Meister et al. 2022)."""
    if p >= 1:
        return candidates
    rising = np.sort(candidates.logits)
    weights = np.exp(rising - rising[-1]).astype(np.float64)
    goal = p * float(weights.sum())
    typical = math.log(weights.sum()) + float(rising[-1]) - candidates.entropy()
    # From its least element the distance rises both ways: two runs, which a stable sort merely merges.
    order = np.argsort(np.abs(rising - typical), kind="stable")
    # The token that takes the sum above p is the last one kept; in top_p, reaching p is enough.
    count = int(np.searchsorted(np.cumsum(weights[order]), goal, side="right")) + 1
    return _first_values(candidates, rising[order[: max(count, min_keep)]])


def _first_values(candidates: Candidates, logits: Floats) -> Candidates:
    """As many candidates as there are values, which are consecutive ones of theirs, the last one doubtful:
    where more candidates have that value than are wanted, those with the lowest ids stay.
    """
    keep = (candidates.logits >= logits.min()) & (candidates.logits <= logits.max())
    surplus = int(np.count_nonzero(keep)) - len(logits)
    if surplus:
        keep[np.flatnonzero(candidates.logits == logits[-1])[-surplus:]] = False
    return candidates.where(keep)


def top_n_sigma(candidates: Candidates, n: float) -> Candidates:
    """All within n standard deviations of the highest logit (Tang et al. 2024); n <= 0 keeps all."""
    if n <= 0 or candidates.size <= 1:
        return candidates
    peak = candidates.logits.max()
    below = np.subtract(candidates.logits, peak, dtype=np.float64)
    variance = mean_product(below, below) - below.mean() ** 2
    return candidates.where(below >= -n * math.sqrt(max(variance, 0.0)))


def xtc(
    candidates: Candidates, probability: float, threshold: float, rng: random.Random, min_keep: int = 1
) -> Candidates:
    """Exclude top choices: by chance, drop all tokens above the threshold but the least likely of them.

    Nothing happens above a threshold of one half, where there is never a second such token. The chance is
    taken from `rng` once per call that could matter (p-e-w's definition, as in `llama_sampler_init_xtc`).
    """
    if probability <= 0 or threshold > 0.5 or candidates.size < 2 or rng.random() > probability:
        return candidates
    probabilities = candidates.probabilities()
    above = np.flatnonzero(probabilities >= threshold)
    num_dropped = len(above) - 1
    if num_dropped < 1 or candidates.size - num_dropped < min_keep:
        return candidates
    keep = np.ones(candidates.size, np.bool_)
    keep[above] = False
    # Of equally unlikely ones the last stays: the others come before it.
    keep[above[::-1][probabilities[above][::-1].argmin()]] = True
    return candidates.where(keep)
