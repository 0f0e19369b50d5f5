"""Flatten or sharpen a distribution."""

import math

import numpy as np

from server.engine.sampling.candidates import Candidates

# Divided by less, logits might be no float32 any more; long before, only the likeliest has a chance.
_GREEDY = 1e-12


def scale(candidates: Candidates, temperature: float) -> Candidates:
    """Divide the logits by the temperature; 0 leaves the likeliest alone."""
    if temperature < _GREEDY:
        return candidates.top(1)
    if temperature == 1:
        return candidates
    return Candidates(candidates.ids, candidates.logits / np.float32(temperature), candidates.is_sorted)


def dynamic_temperature(candidates: Candidates, temperature: float, spread: float, exponent: float) -> float:
    """The temperature for this distribution: low where the model is sure, high where it is not.

    Between temperature - spread (at least 0) and temperature + spread, by the entropy relative to its
    maximum, raised to the exponent (`llama_sampler_init_temp_ext`).
    """
    if spread <= 0 or candidates.size <= 1:
        return temperature
    probabilities = candidates.probabilities()
    probabilities = probabilities[probabilities > 0]
    entropy = float(-np.sum(probabilities * np.log(probabilities)))
    low, high = max(0.0, temperature - spread), temperature + spread
    return low + (high - low) * math.pow(max(0.0, entropy / math.log(candidates.size)), exponent)
