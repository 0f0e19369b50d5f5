"""The chain of a request as `debug.decoding` shows it: what acts, in order, with its values."""

import math
from collections.abc import Callable

from caravan_schemas.common import DecodingStage

from caravan.engine.params import SamplingParams

_PENALTIES = ("repeat_penalty", "presence_penalty", "frequency_penalty", "repeat_last_n")
_DRY = ("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n")

# Of each sampler that `samplers` orders: the parameters it shows, and whether it acts.
_ORDERED: dict[str, tuple[tuple[str, ...], Callable[[SamplingParams], bool]]] = {
    "top_k": (("top_k", "min_keep"), lambda p: p.top_k > 0),
    "top_p": (("top_p", "min_keep"), lambda p: p.top_p < 1),
    "min_p": (("min_p", "min_keep"), lambda p: p.min_p > 0),
    "typical_p": (("typical_p", "min_keep"), lambda p: p.typical_p < 1),
    "top_n_sigma": (("top_n_sigma",), lambda p: p.top_n_sigma > 0),
    "xtc": (
        ("xtc_probability", "xtc_threshold", "min_keep"),
        lambda p: p.xtc_probability > 0 and p.xtc_threshold <= 0.5,
    ),
    "infill": ((), lambda _: True),
    "temperature": (("temperature",), lambda _: True),
}


def chain(params: SamplingParams) -> list[DecodingStage]:
    """The stages as `debug.decoding` shows them: those that act, and always temperature, draw and end."""
    stages = [_bias(params)]
    strengths = (params.repeat_penalty - 1, params.presence_penalty, params.frequency_penalty)
    if params.repeat_last_n and any(strengths):
        stages.append(_stage("penalties", params, *_PENALTIES))
    if params.dry_multiplier and params.dry_penalty_last_n:
        dry = _stage("dry", params, *_DRY)
        dry.values["dry_sequence_breakers"] = params.dry_breakers
        stages.append(dry)
    last = () if "temperature" in params.samplers else ("temperature",)
    for sampler in (*params.samplers, *last):
        names, acts = _ORDERED[sampler]
        if sampler == "temperature" and params.dynatemp_range > 0:
            names = (*names, "dynatemp_range", "dynatemp_exponent")
        if acts(params):
            stages.append(_stage(sampler, params, *names))
    stages += [_draw(params), _end(params)]
    return [stage for stage in stages if stage.values or stage.stage == "infill"]


def _bias(params: SamplingParams) -> DecodingStage:
    values: dict[str, object] = {}
    if params.logit_bias:
        values["logit_bias"] = {
            str(token_id): False if bias == -math.inf else bias for token_id, bias in params.logit_bias
        }
    for name in ("bad_words", "allowed_token_ids", "ignore_eos", "min_tokens"):
        if value := getattr(params, name):
            values[name] = value
    return DecodingStage(stage="bias", values=values)


def _draw(params: SamplingParams) -> DecodingStage:
    if params.mirostat:
        return _stage("mirostat", params, "mirostat", "mirostat_tau", "mirostat_eta", "seed")
    if params.adaptive_target >= 0:
        return _stage("adaptive_p", params, "adaptive_target", "adaptive_decay", "seed")
    return _stage("draw", params, "seed")


def _end(params: SamplingParams) -> DecodingStage:
    values: dict[str, object] = {"max_tokens": params.max_tokens}
    if params.max_seconds is not None:
        values["max_time"] = params.max_seconds
    if params.line_seconds is not None:
        values["t_max_predict_ms"] = round(params.line_seconds * 1000)
    if params.n_indent:
        values["n_indent"] = params.n_indent
    if params.stop:
        values |= {
            "stop": params.stop,
            "stop_limit": params.stop_limit,
            "include_stop_str_in_output": params.include_stop,
        }
    if params.stop_token_ids:
        values["stop_token_ids"] = params.stop_token_ids
    return DecodingStage(stage="end", values=values)


def _stage(stage: str, params: SamplingParams, *names: str) -> DecodingStage:
    return DecodingStage(stage=stage, values={name: getattr(params, name) for name in names})
