"""The chain that `debug.decoding` shows is the one that the engine runs."""

import random

import pytest
from caravan.api.params.debug_chain import chain
from caravan.api.params.decoding_plan import DecodingPlan, DecodingPlanner
from caravan.engine.sampling.stages import ordered_stages
from caravan.errors import InvalidRequestError
from caravan_schemas.parameters import TRUNCATING
from caravan_schemas.sampling import SamplingFields

from tests.fakes_web import loaded_model


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"top_k": 0, "top_p": 1, "min_p": 0},
        {"typical_p": 0.5, "top_n_sigma": 0, "xtc_probability": 0.5},
        {"samplers": ["xtc", "typ_p", "top_n_sigma", "xtc"], "top_n_sigma": 2, "xtc_probability": 1},
        {"mirostat": 1},
        {"mirostat": 2, "min_p": 0.2},
        {"samplers": []},
        {"samplers": ["top_k", "infill"]},
        {"samplers": ["temperature", "top_p", "min_p"]},
        {"samplers": ["penalties", "dry", "top_k", "temperature", "top_p"]},
        {"xtc_probability": 1, "xtc_threshold": 0.6},
    ],
)
def test_it_has_the_ordered_stages_of_the_engine(fields: dict[str, object]) -> None:
    params = DecodingPlanner().plan(SamplingFields.model_validate(fields), loaded_model()).params
    shown = [stage.stage for stage in chain(params) if stage.stage in (*TRUNCATING, "infill", "temperature")]
    assert len(shown) == len(ordered_stages(params, random.Random(), lambda left: left))
    named = [name for name in params.samplers if name in shown]
    assert shown == (named if "temperature" in named else [*named, "temperature"])


def test_plain_values_are_planned_once() -> None:
    planner, model = DecodingPlanner(), loaded_model()

    def planned(num_logprobs: int | None = None, **fields: object) -> DecodingPlan:
        return planner.plan(SamplingFields.model_validate(fields), model, num_logprobs=num_logprobs)

    first = planned(temperature=0.5, top_k=3)
    assert planned(top_k=3, temperature=0.5, user="another") is first
    others = [planned(temperature=0.5), planned(top_k=4), planned(2, temperature=0.5, top_k=3)]
    assert first not in others
    assert [plan.params.top_k for plan in (first, *others)] == [3, others[0].params.top_k, 4, 3]
    assert others[2].params.num_logprobs == 2
    assert planned(stop=["x"]) is not planned(stop=["x"])
    assert planned(stop=["x"]).params.stop == ("x",)
    with pytest.raises(InvalidRequestError):
        planned(n=10_000)
    # Another model may have other defaults.
    assert planner.plan(SamplingFields(temperature=0.5, top_k=3), loaded_model()) is not first


def test_every_stage_shows_its_values_in_the_documented_order() -> None:
    fields = {
        "logit_bias": {"65": False, "A": 1, "66": 2},
        "bad_words": ["xy"],
        "allowed_token_ids": [66, 65, 67],
        "ignore_eos": True,
        "min_tokens": 1,
        "repeat_penalty": 1.1,
        "dry_multiplier": 1,
        "dry_sequence_breakers": ["\n"],
        "dynatemp_range": 0.5,
        "adaptive_target": 0.5,
        "stop": "x",
        "max_time": 5,
        "t_max_predict_ms": 700,
        "n_indent": 4,
        "max_tokens": 9,
        "stop_token_ids": [67],
    }
    params = DecodingPlanner().plan(SamplingFields.model_validate(fields), loaded_model()).params
    stages = {stage.stage: stage.values for stage in chain(params)}
    assert list(stages) == [
        *("bias", "penalties", "dry", "top_k", "top_p", "min_p", "temperature", "adaptive_p", "end")
    ]
    assert stages["bias"]["logit_bias"] == {"65": False, "66": 2.0}
    assert stages["bias"]["bad_words"] == (tuple(b"xy"), tuple(b" xy"))
    assert stages["dry"]["dry_sequence_breakers"] == ((10,),)
    assert stages["temperature"] == {"temperature": 0.8, "dynatemp_range": 0.5, "dynatemp_exponent": 1.0}
    assert stages["end"]["max_time"] == 5
    assert stages["end"]["t_max_predict_ms"] == 700
    assert stages["end"]["n_indent"] == 4
