"""Combinations of parameters: what means nothing is refused with both names, and nothing else is."""

import pytest
from caravan.api.params.conflicts import CLASHES, NEEDS
from caravan.api.params.decoding_plan import DecodingPlan, DecodingPlanner
from caravan.errors import InvalidRequestError
from caravan_schemas.sampling import SamplingFields
from pydantic import ValidationError

from tests.fakes_web import loaded_model

Fields = dict[str, object]


def plan(
    fields: Fields, decoding: DecodingPlanner | None = None, max_tokens: int | None = None
) -> DecodingPlan:
    request = SamplingFields.model_validate(fields)
    return (decoding or DecodingPlanner()).plan(request, loaded_model(), max_tokens)


# llama.cpp's own list.
FULL = ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]

# What a request sets, and the two names in the refusal, the field at fault first.
MEANINGLESS: list[tuple[Fields, str, str]] = [
    ({"dynatemp_exponent": 2}, "dynatemp_exponent", "dynatemp_range"),
    ({"xtc_threshold": 0.2}, "xtc_threshold", "xtc_probability"),
    ({"adaptive_decay": 0.5}, "adaptive_decay", "adaptive_target"),
    ({"mirostat_tau": 6}, "mirostat_tau", "mirostat"),
    ({"mirostat_eta": 0.2}, "mirostat_eta", "mirostat"),
    ({"repeat_last_n": 65}, "repeat_last_n", "repeat_penalty"),
    ({"repeat_last_n": -1}, "repeat_last_n", "repeat_penalty"),
    ({"dry_base": 1.5}, "dry_base", "dry_multiplier"),
    ({"dry_allowed_length": 3}, "dry_allowed_length", "dry_multiplier"),
    ({"dry_penalty_last_n": 9}, "dry_penalty_last_n", "dry_multiplier"),
    ({"dry_sequence_breakers": ["x"]}, "dry_sequence_breakers", "dry_multiplier"),
    ({"stop_limit": 2}, "stop_limit", "stop"),
    ({"include_stop_str_in_output": True}, "include_stop_str_in_output", "stop"),
    ({"mirostat": 2, "temperature": 0}, "mirostat", "temperature"),
    ({"mirostat": 2, "adaptive_target": 0.5}, "mirostat", "adaptive_target"),
    ({"adaptive_target": 0.5, "temperature": 0}, "adaptive_target", "temperature"),
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
    ({"samplers": ["dry", "top_k"], "repeat_penalty": 1.1}, "samplers", "repeat_penalty"),
    ({"samplers": ["temperature"], "presence_penalty": 1}, "samplers", "presence_penalty"),
    ({"samplers": ["temperature"], "frequency_penalty": 1}, "samplers", "frequency_penalty"),
    ({"samplers": ["penalties", "top_k"], "dry_multiplier": 1}, "samplers", "dry_multiplier"),
    ({"samplers": ["penalties", "top_k"], "temperature": 0.5}, "samplers", "temperature"),
    ({"samplers": ["penalties"], "dynatemp_range": 0.5}, "samplers", "dynatemp_range"),
    ({"samplers": ["top_k", "penalties", "temperature"], "repeat_penalty": 2}, "samplers", "repeat_penalty"),
    ({"samplers": ["dry", "penalties"], "presence_penalty": 2}, "samplers", "presence_penalty"),
    ({"samplers": ["temperature", "dry"], "dry_multiplier": 1}, "samplers", "dry_multiplier"),
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
    {"mirostat_mode": 0, "mirostat_tau": 8, "mirostat_eta": 0.3},
    {"mirostat_tau": 5, "mirostat_eta": 0.1},
    {"dry_multiplier": 0, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64},
    {"dry_multiplier": 0, "dry_base": 3, "dry_penalty_last_n": -1, "dry_sequence_breakers": ["x"]},
    {"dry_sequence_breakers": ["\n", ":", '"', "*"], "dry_base": 1.75, "dry_allowed_length": 2},
    {"repeat_last_n": 0, "dry_penalty_last_n": 0},
    {"repeat_last_n": 64, "dry_penalty_last_n": 64, "xtc_threshold": 0.1, "dynatemp_exponent": 1},
    {"dynatemp_exponent": 2, "dynatemp_range": 0},
    {"xtc_probability": 0.5, "xtc_threshold": 0.6},
    {"xtc_threshold": 0.6},
    {"xtc_threshold": 0.6, "xtc_probability": 0},
    {"adaptive_target": -1, "adaptive_decay": 0.5},
    {"stop": [], "include_stop_str_in_output": True},
    {"samplers": FULL, "mirostat": 2},
    {"samplers": FULL, "repeat_penalty": 1.1, "dry_multiplier": 1, "top_k": 5, "temperature": 1.5},
    {"samplers": ["top_k", "penalties", "dry", "temperature"], "top_k": 5},
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
    decoding = DecodingPlanner(operator=SamplingFields(mirostat=2, repeat_last_n=0, samplers=["min_p"]))
    assert plan({}, decoding).params.mirostat == 2
    assert plan({"temperature": 0}, decoding).params.mirostat == 0
    chosen = plan({"adaptive_target": 0.4}, decoding).params
    assert (chosen.mirostat, chosen.adaptive_target) == (0, 0.4)
    assert plan({"mirostat": 0, "top_k": 3}, decoding).params.samplers == ("min_p", "top_k")
    with pytest.raises(InvalidRequestError, match=r"'repeat_last_n' and 'repeat_penalty'") as caught:
        plan({"repeat_penalty": 1.1}, decoding)
    assert caught.value.param == "repeat_penalty"


def test_defaults_and_presets_can_give_what_others_need() -> None:
    decoding = DecodingPlanner(operator=SamplingFields(xtc_probability=0.5))
    assert plan({"xtc_threshold": 0.3}, decoding).params.xtc_threshold == 0.3
    presets = {"steady": SamplingFields(mirostat=2, top_k=7)}
    chosen = plan({"preset": "steady", "mirostat_tau": 3}, DecodingPlanner(presets=presets)).params
    assert (chosen.mirostat, chosen.mirostat_tau, chosen.top_k, chosen.top_p) == (2, 3, 7, 1)
    presets["short"] = SamplingFields(samplers=["min_p"], repeat_last_n=0)
    chosen = plan({"preset": "short", "top_k": 7}, DecodingPlanner(presets=presets)).params
    assert chosen.samplers == ("min_p", "top_k")
    assert plan({"preset": "short", "mirostat": 2}, DecodingPlanner(presets=presets)).params.mirostat == 2
    chosen = plan({"preset": "steady", "temperature": 0}, DecodingPlanner(presets=presets)).params
    assert (chosen.mirostat, chosen.temperature) == (0, 0)


def test_a_list_of_all_samplers_is_the_default() -> None:
    plain = plan({}).params
    for samplers in (FULL, ";".join(FULL), "edskypmxt", [name.upper().replace("_", "-") for name in FULL]):
        chosen = plan({"samplers": samplers}).params
        assert [name for name in chosen.samplers if name != "temperature"] == list(plain.samplers)
        assert chosen.samplers[-1] == "temperature"


def test_a_list_that_is_about_all_turns_off_what_it_leaves_out() -> None:
    decoding = DecodingPlanner(operator=SamplingFields(repeat_penalty=1.2, dry_multiplier=1, temperature=0.5))
    truncating = plan({"samplers": ["top_k"]}, decoding).params
    assert (truncating.repeat_penalty, truncating.dry_multiplier, truncating.temperature) == (1.2, 1, 0.5)
    whole = plan({"samplers": ["top_k", "temperature"]}, decoding).params
    assert (whole.repeat_penalty, whole.dry_multiplier, whole.temperature) == (1, 0, 0.5)
    cold = plan({"samplers": ["penalties", "dry", "top_k"]}, decoding).params
    assert (cold.repeat_penalty, cold.dry_multiplier, cold.temperature) == (1.2, 1, 1)


def test_a_request_adds_to_the_operators_list_in_its_place() -> None:
    decoding = DecodingPlanner(operator=SamplingFields.model_validate({"samplers": ["min_p", "temperature"]}))
    chosen = plan({"top_k": 5, "repeat_penalty": 1.1, "dry_multiplier": 1}, decoding).params
    assert chosen.samplers == ("min_p", "top_k", "temperature")
    assert (chosen.repeat_penalty, chosen.dry_multiplier) == (1.1, 1)


@pytest.mark.parametrize(
    ("samplers", "read"),
    [
        (["temperature", "top_p"], ("temperature", "top_p")),
        (
            ["temp", "nucleus", "Min-P", "topk", "typical"],
            ("temperature", "top_p", "min_p", "top_k", "typical_p"),
        ),
        (["top_k", "tfs_z", "adaptive_p"], ("top_k",)),
        (["top_k", "top_p", "infill"], ("top_k", "top_p", "infill")),
        ("ki", ("top_k", "infill")),
        ("top_k", ("top_k",)),
        ("kpk", ("top_k", "top_p", "top_k")),
        ("", ()),
    ],
)
def test_the_names_and_texts_of_llama_cpp_are_read(samplers: object, read: tuple[str, ...]) -> None:
    assert plan({"samplers": samplers}).params.samplers == read


@pytest.mark.parametrize("samplers", [["nonsense"], "qz", ["temperature", "temp"], [1], 5])
def test_other_lists_are_refused(samplers: object) -> None:
    with pytest.raises(ValidationError):
        plan({"samplers": samplers})


def test_values_that_others_have_for_off_are_read_as_what_they_mean() -> None:
    chosen = plan(
        {"top_k": -1, "max_tokens": -1, "stop": "", "t_max_predict_ms": 0, "seed": -1}, max_tokens=16
    )
    params = chosen.params
    assert (params.top_k, params.max_tokens, params.stop, params.line_seconds) == (0, None, (), None)
    assert params.seed is None
    assert plan({"stop": ["", "a", ""]}).params.stop == ("a",)
    assert plan({"t_max_predict_ms": 250}).params.line_seconds == 0.25
    assert plan({"n_predict": -1, "max_tokens": -1, "max_completion_tokens": -1}).params.max_tokens is None
    assert plan({"n_cmpl": 3}).num_choices == 3
    decoding = DecodingPlanner(operator=SamplingFields(max_tokens=5, stop="x", adaptive_target=0.5))
    freed = plan({"n_predict": -1, "stop": [], "adaptive_target": -1}, decoding).params
    assert (freed.max_tokens, freed.stop, freed.adaptive_target) == (None, (), -1)
    assert (
        plan({}, DecodingPlanner(operator=SamplingFields(max_tokens=-1)), max_tokens=16).params.max_tokens
        is None
    )


def test_names_of_one_parameter_must_agree() -> None:
    differing: list[Fields] = [{"n": 2, "n_cmpl": 3}, {"n_predict": -1, "max_tokens": 5}]
    for fields in differing:
        with pytest.raises(InvalidRequestError, match="two names of one parameter"):
            plan(fields)
    with pytest.raises(InvalidRequestError) as caught:
        plan({"n_cmpl": 99})
    assert caught.value.param == "n_cmpl"


def test_zero_tokens_are_llama_cpps_way_to_compute_a_prompt() -> None:
    assert plan({"n_predict": 0}).params.max_tokens == 0
    with pytest.raises(InvalidRequestError):
        plan({"max_tokens": 0})
