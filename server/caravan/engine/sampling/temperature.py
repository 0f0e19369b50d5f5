"""Flatten or sharpen a distribution."""

import math

import numpy as np

from caravan.engine.sampling.candidates import Candidates

_FLOAT = np.finfo(np.float32)


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
    """The temperature for this distribution: low where the model is sure, high where it is not.

    Between temperature - spread (at least 0) and temperature + spread, by the entropy relative to its
    maximum, raised to the exponent (`llama_sampler_init_temp_ext`).
    """
    if spread <= 0 or candidates.size <= 1:
        return temperature
    low, high = max(0.0, temperature - spread), temperature + spread
    return low + (high - low) * math.pow(max(0.0, candidates.entropy() / math.log(candidates.size)), exponent)
