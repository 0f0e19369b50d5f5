"""How a request is decoded, which of its choices are answered with, and what `debug.decoding` shows of it."""

import math
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cached_property

from caravan_schemas.common import Debug, DecodingStage

from caravan.engine.outputs import TokenOutput
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
    "temperature": (("temperature",), lambda _: True),
}


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """`num_drawn` choices of each prompt are generated, of which the best `num_choices` are answered with.

    `chain` is there when the request asks to see it.
    """

    params: SamplingParams
    num_choices: int
    num_drawn: int
    chain: list[DecodingStage] | None = None

    def kept(self, last: Sequence[TokenOutput]) -> list[TokenOutput]:
        """Of the last outputs of all choices those that are answered with, each prompt's best first.

        Without a score, the order is the engine's and all are kept.
        """
        if not self.params.score:
            return list(last)
        prompts = [last[start : start + self.num_drawn] for start in range(0, len(last), self.num_drawn)]
        return [
            output
            for choices in prompts
            for output in sorted(choices, key=_mean_logprob, reverse=True)[: self.num_choices]
        ]

    @cached_property
    def debug_size(self) -> int:
        """How many values the chain shows, where the request asks to see it."""
        values = [value for stage in self.chain or () for value in stage.values.values()]
        return sum(len(value) for value in values if isinstance(value, Sized))

    def debug(self, last: Mapping[int, TokenOutput]) -> Debug | None:
        """The chain, with mirostat's state after the last outputs, which are by the answer's indexes."""
        if self.chain is None:
            return None
        mu = {
            str(index): output.mirostat_mu for index, output in last.items() if output.mirostat_mu is not None
        }
        return Debug(
            decoding=[
                DecodingStage(stage=stage.stage, values=stage.values, mu=mu)
                if stage.stage == "mirostat"
                else stage
                for stage in self.chain
            ]
        )


def _mean_logprob(output: TokenOutput) -> float:
    if output.sum_logprob is None:
        return -math.inf
    return output.sum_logprob / max(output.num_completion_tokens, 1)


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
    return [stage for stage in stages if stage.values]


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
