"""The stages of a request in the order in which they act, as functions of candidates."""

import random
from collections.abc import Callable

from caravan.engine.params import SamplingParams
from caravan.engine.sampling import temperature, truncation
from caravan.engine.sampling.candidates import Candidates
from caravan.engine.sampling.samplers import AdaptiveP, Draw, Mirostat, MirostatV2, plain

Stage = Callable[[Candidates], Candidates]


def ordered_stages(params: SamplingParams, rng: random.Random) -> list[Stage]:
    """One function for each of `params.samplers` that is not neutral, in that order, and the temperature."""
    keep = params.min_keep
    stages: dict[str, Stage] = {
        "top_k": lambda c: truncation.top_k(c, max(params.top_k, keep)),
        "top_p": lambda c: truncation.top_p(c, params.top_p, keep),
        "min_p": lambda c: truncation.min_p(c, params.min_p, keep),
        "typical_p": lambda c: truncation.typical_p(c, params.typical_p, keep),
        "top_n_sigma": lambda c: truncation.top_n_sigma(c, params.top_n_sigma),
        "xtc": lambda c: truncation.xtc(c, params.xtc_probability, params.xtc_threshold, rng, keep),
        "temperature": temperature_stage(params),
    }
    last = [] if "temperature" in params.samplers else [stages["temperature"]]
    return [stages[name] for name in _active(params)] + last


def leading_top_k(params: SamplingParams) -> int | None:
    """How many of the likeliest tokens matter, if the first stage says so; None where all may matter."""
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
        "temperature": True,
    }
    return [name for name in params.samplers if active[name]]


def temperature_stage(params: SamplingParams) -> Stage:
    """The temperature of a request, dynamic if it says so."""
    if params.dynatemp_range <= 0:
        return lambda c: temperature.scale(c, params.temperature)

    def dynamic(candidates: Candidates) -> Candidates:
        value = temperature.dynamic_temperature(
            candidates, params.temperature, params.dynatemp_range, params.dynatemp_exponent
        )
        return temperature.scale(candidates, value)

    return dynamic


def draw_stage(params: SamplingParams, vocab_size: int) -> Draw:
    """What takes the token."""
    if params.mirostat == 1:
        return Mirostat(params.mirostat_tau, params.mirostat_eta, vocab_size)
    if params.mirostat == 2:
        return MirostatV2(params.mirostat_tau, params.mirostat_eta)
    if params.adaptive_target >= 0:
        return AdaptiveP(params.adaptive_target, params.adaptive_decay)
    return plain
