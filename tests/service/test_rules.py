"""Combinations of parameters: what means nothing is refused with both names, and nothing else is."""

import pytest

from schemas.sampling import SamplingFields
from server.errors import InvalidRequestError
from server.service.plan import Plan
from server.service.rules import CLASHES, NEEDS
from server.service.sampling import Decoding
from tests.fakes_web import loaded_model

Fields = dict[str, object]


def plan(fields: Fields, decoding: Decoding | None = None, max_tokens: int | None = None) -> Plan:
    request = SamplingFields.model_validate(fields)
    return (decoding or Decoding()).plan(request, loaded_model(), max_tokens)


# What a request sets, and the two names in the refusal, the field at fault first.
MEANINGLESS: list[tuple[Fields, str, str]] = [
    ({"dynatemp_exponent": 2}, "dynatemp_exponent", "dynatemp_range"),
    ({"dynatemp_exponent": 2, "dynatemp_range": 0}, "dynatemp_exponent", "dynatemp_range"),
    ({"xtc_threshold": 0.1}, "xtc_threshold", "xtc_probability"),
    ({"adaptive_decay": 0.5}, "adaptive_decay", "adaptive_target"),
    ({"mirostat_tau": 5}, "mirostat_tau", "mirostat"),
    ({"mirostat_eta": 0.1}, "mirostat_eta", "mirostat"),
    ({"mirostat_tau": 3, "mirostat_mode": 0}, "mirostat_tau", "mirostat_mode"),
    ({"repeat_last_n": 64}, "repeat_last_n", "repeat_penalty"),
    ({"dry_base": 1.75}, "dry_base", "dry_multiplier"),
    ({"dry_allowed_length": 2}, "dry_allowed_length", "dry_multiplier"),
    ({"dry_penalty_last_n": 9}, "dry_penalty_last_n", "dry_multiplier"),
    ({"dry_sequence_breakers": ["x"]}, "dry_sequence_breakers", "dry_multiplier"),
    ({"stop_limit": 2}, "stop_limit", "stop"),
    ({"include_stop_str_in_output": True}, "include_stop_str_in_output", "stop"),
    ({"mirostat": 2, "temperature": 0}, "mirostat", "temperature"),
    ({"mirostat": 2, "adaptive_target": 0.5}, "mirostat", "adaptive_target"),
    ({"adaptive_target": 0.5, "temperature": 0}, "adaptive_target", "temperature"),
    ({"xtc_probability": 0.5, "xtc_threshold": 0.6}, "xtc_threshold", "xtc_probability"),
    ({"repeat_last_n": 0, "repeat_penalty": 1.1}, "repeat_last_n", "repeat_penalty"),
    ({"repeat_last_n": 0, "repetition_penalty": 1.1}, "repeat_last_n", "repetition_penalty"),
    ({"repeat_last_n": 0, "presence_penalty": 1}, "repeat_last_n", "presence_penalty"),
    ({"repeat_last_n": 0, "frequency_penalty": -1}, "repeat_last_n", "frequency_penalty"),
    ({"dry_penalty_last_n": 0, "dry_multiplier": 1}, "dry_penalty_last_n", "dry_multiplier"),
    ({"samplers": ["top_p"], "top_k": 5}, "samplers", "top_k"),
    ({"samplers": ["top_k"], "top_p": 0.5}, "samplers", "top_p"),
    ({"samplers": [], "min_p": 0.5}, "samplers", "min_p"),
    ({"samplers": [], "typical": 0.5}, "samplers", "typical"),
    ({"samplers": [], "top_n_sigma": 1}, "samplers", "top_n_sigma"),
    ({"samplers": [], "xtc_probability": 1}, "samplers", "xtc_probability"),
    ({"samplers": ["top_k"], "mirostat": 1}, "samplers", "mirostat"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens", "max_tokens"),
    ({"min_tokens": 5, "max_completion_tokens": 4}, "min_tokens", "max_completion_tokens"),
    ({"best_of": 2, "n": 3}, "best_of", "n"),
    ({"best_of": 2, "stream": True}, "best_of", "stream"),
    ({"min_keep": 5, "samplers": []}, "min_keep", "top_k"),
    ({"min_keep": 5, "mirostat": 2}, "min_keep", "top_k"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_completion_tokens", "max_tokens"),
    ({"typical_p": 0.3, "typical": 0.4}, "typical", "typical_p"),
    ({"mirostat": 1, "mirostat_mode": 2}, "mirostat_mode", "mirostat"),
    ({"repeat_penalty": 1.1, "repetition_penalty": 1.2}, "repetition_penalty", "repeat_penalty"),
    ({"allowed_token_ids": [5], "logit_bias": {"5": False}}, "allowed_token_ids", "logit_bias"),
    ({"allowed_token_ids": [65], "bad_words": ["A"]}, "allowed_token_ids", "bad_words"),
    ({"allowed_token_ids": [65], "bad_words": ["BA"]}, "allowed_token_ids", "bad_words"),
    ({"allowed_token_ids": [258], "ignore_eos": True}, "allowed_token_ids", "ignore_eos"),
    ({"allowed_token_ids": [258], "min_tokens": 1}, "allowed_token_ids", "min_tokens"),
    (
        {"allowed_token_ids": [65], "stop_token_ids": [65], "min_tokens": 1},
        "allowed_token_ids",
        "min_tokens",
    ),
    ({"allowed_token_ids": [65], "stop_token_ids": [66]}, "stop_token_ids", "allowed_token_ids"),
    ({"logit_bias": {"66": False}, "stop_token_ids": [66]}, "stop_token_ids", "logit_bias"),
    ({"ignore_eos": True, "stop_token_ids": [258]}, "stop_token_ids", "ignore_eos"),
    ({"allowed_token_ids": [65], "logit_bias": {"66": 5}}, "logit_bias", "allowed_token_ids"),
    ({"logit_bias": [[i, False] for i in range(259)]}, "logit_bias", "no token"),
]
MEANINGFUL: list[Fields] = [
    {"mirostat": 0, "mirostat_tau": 5, "mirostat_eta": 0.1},
    {"dry_multiplier": 0, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64},
    {"repeat_penalty": 1, "repeat_last_n": 64, "presence_penalty": 0, "frequency_penalty": 0},
    {"dynatemp_range": 0, "dynatemp_exponent": 1, "xtc_probability": 0, "xtc_threshold": 0.1},
    {"max_tokens": 4, "max_completion_tokens": 4},
    {"typical": 0.5, "typical_p": 0.5},
    {"include_stop_str_in_output": False, "ignore_eos": False},
    {"logit_bias": {}, "bad_words": [], "stop_token_ids": []},
    {"temperature": 0, "top_k": 40, "top_p": 0.9, "seed": 1, "n": 3},
    {"temperature": 0, "dynatemp_range": 1, "mirostat": 2},
    {"mirostat": 2, "top_k": 10, "min_keep": 3, "samplers": ["top_k"]},
    {"best_of": 3, "n": 3},
    {"best_of": 1, "stream": True},
    {"min_tokens": 4, "max_tokens": 4},
    {"allowed_token_ids": [65, 66], "bad_words": ["A"]},
    {"allowed_token_ids": [65, 66], "bad_words": ["BA"]},
    {"allowed_token_ids": [65, 66], "logit_bias": {"65": False, "67": 3}},
    {"samplers": ["typ_p", "top_k"], "typical_p": 0.5},
]


@pytest.mark.parametrize(("fields", "param", "other"), MEANINGLESS)
def test_what_means_nothing_is_refused_with_both_names(fields: Fields, param: str, other: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        plan(fields)
    assert caught.value.param == param
    assert f"'{param}'" in caught.value.message
    assert other in caught.value.message


@pytest.mark.parametrize("fields", MEANINGFUL)
def test_what_means_something_passes(fields: Fields) -> None:
    plan(fields)


def test_every_rule_has_a_case() -> None:
    pairs = {(param, other) for _, param, other in MEANINGLESS}
    for need in NEEDS:
        assert any((need.name, switch) in pairs for switch in need.switches)
    aliases = {"typical_p": "typical"}
    for clash in CLASHES:
        assert (clash.first, aliases.get(clash.second, clash.second)) in pairs


def test_the_route_has_a_default_that_counts() -> None:
    with pytest.raises(InvalidRequestError, match=r"'min_tokens' and 'max_tokens'"):
        plan({"min_tokens": 17}, max_tokens=16)
    assert plan({"min_tokens": 17, "max_tokens": 20}, max_tokens=16).params.min_tokens == 17


def test_defaults_give_way_to_what_the_request_sets() -> None:
    decoding = Decoding(operator=SamplingFields(mirostat=2, repeat_last_n=0, samplers=["min_p"]))
    assert plan({}, decoding).params.mirostat == 2
    assert plan({"temperature": 0}, decoding).params.mirostat == 0
    chosen = plan({"adaptive_target": 0.4}, decoding).params
    assert (chosen.mirostat, chosen.adaptive_target) == (0, 0.4)
    assert plan({"mirostat": 0, "top_k": 3}, decoding).params.samplers == ("min_p", "top_k")
    with pytest.raises(InvalidRequestError, match=r"'repeat_last_n' and 'repeat_penalty'") as caught:
        plan({"repeat_penalty": 1.1}, decoding)
    assert caught.value.param == "repeat_penalty"


def test_defaults_and_presets_can_give_what_others_need() -> None:
    decoding = Decoding(operator=SamplingFields(xtc_probability=0.5))
    assert plan({"xtc_threshold": 0.3}, decoding).params.xtc_threshold == 0.3
    presets = {"steady": SamplingFields(mirostat=2, top_k=7)}
    chosen = plan({"preset": "steady", "mirostat_tau": 3}, Decoding(presets=presets)).params
    assert (chosen.mirostat, chosen.mirostat_tau, chosen.top_k, chosen.top_p) == (2, 3, 7, 1)
    presets["short"] = SamplingFields(samplers=["min_p"], repeat_last_n=0)
    chosen = plan({"preset": "short", "top_k": 7}, Decoding(presets=presets)).params
    assert chosen.samplers == ("min_p", "top_k")
    assert plan({"preset": "short", "mirostat": 2}, Decoding(presets=presets)).params.mirostat == 2
    chosen = plan({"preset": "steady", "temperature": 0}, Decoding(presets=presets)).params
    assert (chosen.mirostat, chosen.temperature) == (0, 0)
