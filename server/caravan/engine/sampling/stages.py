"""The stages between a row of logits and the draw: which tokens are left, in the order of the request.

Truncation leaves unlikely (or, for XTC, too likely) tokens out and keeps at least one; temperature flattens
or sharpens what is left.
"""

import math
import random
from collections.abc import Callable

import numpy as np

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Candidates, Floats, mean_product

Stage = Callable[[Candidates], Candidates]

_FLOAT = np.finfo(np.float32)
_FIRST_LOOK = 256


def ordered_stages(params: SamplingParams, rng: random.Random, infill: Stage) -> list[Stage]:
    """Make a function of each of `params.samplers` that has an effect, in order, and the temperature."""
    keep = params.min_keep
    stages: dict[str, Stage] = {
        "top_k": lambda c: top_k(c, max(params.top_k, keep)),
        "top_p": lambda c: top_p(c, params.top_p, keep),
        "min_p": lambda c: min_p(c, params.min_p, keep),
        "typical_p": lambda c: typical_p(c, params.typical_p, keep),
        "top_n_sigma": lambda c: top_n_sigma(c, params.top_n_sigma),
        "xtc": lambda c: xtc(c, params.xtc_probability, params.xtc_threshold, rng, keep),
        "infill": infill,
        "temperature": temperature_stage(params),
    }
    return [stages[name] for name in stage_names(params)]


def stage_names(params: SamplingParams) -> list[str]:
    """Name the samplers that have an effect, in order, and the temperature."""
    return _active(params) + ([] if "temperature" in params.samplers else ["temperature"])


def leading_top_k(params: SamplingParams) -> int | None:
    """Tell how many of the likeliest tokens matter, if the first stage says so; None where all may matter."""
    leaders = _active(params)[:1]
    return max(params.top_k, params.min_keep) if leaders == ["top_k"] else None


def _active(params: SamplingParams) -> list[str]:
    """Those of `params.samplers` that are not neutral."""
    active = {
        "top_k": params.top_k > 0,
        "top_p": params.top_p < 1,
        "min_p": params.min_p > 0,
        "typical_p": params.typical_p < 1,
        "top_n_sigma": params.top_n_sigma > 0,
        "xtc": params.xtc_probability > 0 and params.xtc_threshold <= 0.5,
        "infill": True,
        "temperature": True,
    }
    return [name for name in params.samplers if active[name]]


def temperature_stage(params: SamplingParams) -> Stage:
    """Make the temperature of a request, dynamic if it says so."""
    if params.dynatemp_range <= 0:
        return lambda c: scale(c, params.temperature)

    def dynamic(candidates: Candidates) -> Candidates:
        value = dynamic_temperature(
            candidates, params.temperature, params.dynatemp_range, params.dynatemp_exponent
        )
        return scale(candidates, value)

    return dynamic


def top_k(candidates: Candidates, k: int) -> Candidates:
    """Keep the k likeliest; 0 keeps all."""
    return candidates if k <= 0 else candidates.top(k)


def top_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """Keep the fewest likeliest whose probabilities reach p together (nucleus, Holtzman et al. 2019)."""
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
    """Keep all at least p times as likely as the likeliest (Nguyen et al. 2024)."""
    if p <= 0:
        return candidates
    keep = candidates.logits >= candidates.logits.max() + np.float32(math.log(p))
    if int(np.count_nonzero(keep)) >= min_keep:
        return candidates.where(keep)
    return candidates.top(min_keep)


def typical_p(candidates: Candidates, p: float, min_keep: int = 1) -> Candidates:
    """Keep those with surprise closest to the entropy, until they exceed p together (Meister et al. 2022)."""
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
    """Keep all within n standard deviations of the highest logit (Tang et al. 2024); n <= 0 keeps all."""
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


def scale(candidates: Candidates, temperature: float) -> Candidates:
    """Divide the logits by the temperature; 0 leaves the likeliest alone.

    What is divided is their distance from the highest, so that no temperature is too small for 32 bits.
    """
    if temperature <= 0:
        return candidates.top(1)
    if temperature == 1:
        return candidates
    below = candidates.logits - candidates.logits.max()
    divisor = np.float32(max(temperature, float(_FLOAT.tiny)))
    if float(below.min()) > float(_FLOAT.min) * float(divisor):
        below /= divisor
    else:
        with np.errstate(over="ignore"):
            below /= divisor
        np.maximum(below, _FLOAT.min, out=below)
    return Candidates(candidates.ids, below)


def dynamic_temperature(candidates: Candidates, temperature: float, spread: float, exponent: float) -> float:
    """Choose a temperature for this distribution: low where the model is sure, high where it is not.

    Between temperature - spread (at least 0) and temperature + spread, by the entropy relative to its
    maximum, raised to the exponent (`llama_sampler_init_temp_ext`).
    """
    if spread <= 0 or candidates.size <= 1:
        return temperature
    low, high = max(0.0, temperature - spread), temperature + spread
    return low + (high - low) * math.pow(max(0.0, candidates.entropy() / math.log(candidates.size)), exponent)
