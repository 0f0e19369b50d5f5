"""Where values come from when a request says nothing, and what operators may say."""

import json
import logging
from pathlib import Path

import pytest
from caravan.api.params import presets
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.params.presets import BUILT_IN, PresetError, effective
from caravan.api.params.resolved import Source
from caravan.engine.params import SamplingParams
from caravan_schemas.parameters import parameters
from caravan_schemas.sampling import DecodingFields, SamplingFields

from tests.fakes_web import loaded_model

GGUF = "general.sampling."


def test_without_any_say_they_are_the_engines() -> None:
    """The schema's defaults are llama.cpp's, and so are those of SamplingParams."""
    for name, known in effective({}, DecodingFields()).items():
        assert known.source is Source.LLAMA_CPP
        if hasattr(SamplingParams(), name):
            value = known.value
            assert (tuple(value) if isinstance(value, list) else value) == getattr(SamplingParams(), name)
    assert DecodingPlanner().plan(SamplingFields(), loaded_model()).params == SamplingParams()


def test_the_files_recommendations_hold_and_the_operators_word_beats_them() -> None:
    metadata = {
        GGUF + "temp": "0.600000",
        GGUF + "top_k": "20",
        GGUF + "top_p": "0.949999988079071",
        GGUF + "penalty_repeat": "1.05",
        GGUF + "penalty_last_n": "-1",
        GGUF + "sequence": "penalties;top_k;typ_p;temperature",
    }
    known = effective(metadata, DecodingFields(temperature=0.3, repetition_penalty=1.2))
    assert known["top_k"].value == 20
    assert known["top_p"].value == 0.95
    assert known["top_k"].source is Source.GGUF
    assert known["samplers"].value == ["top_k", "typical_p"]
    assert known["repeat_last_n"].value == -1
    assert (known["temperature"].value, known["temperature"].source) == (0.3, Source.OPERATOR)
    assert (known["repeat_penalty"].value, known["repeat_penalty"].source) == (1.2, Source.OPERATOR)
    assert known["min_p"].source is Source.LLAMA_CPP


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("temp", "nan"),
        ("temp", "-1"),
        ("temp", "hot"),
        ("temp", ""),
        ("top_k", "4.5"),
        ("top_p", "-0.5"),
        ("mirostat", "3"),
        ("sequence", "top_k;nonsense"),
        ("xtc_probability", "inf"),
    ],
)
def test_a_recommendation_out_of_range_is_passed_over_with_a_warning(
    caplog: pytest.LogCaptureFixture, key: str, text: str
) -> None:
    with caplog.at_level(logging.WARNING):
        known = effective({GGUF + key: text}, DecodingFields())
    assert all(value.source is Source.LLAMA_CPP for value in known.values())
    assert GGUF + key in caplog.text


def test_presets_come_from_a_file_and_beat_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "presets.json"
    file.write_text(json.dumps({"legal": {"temperature": 0, "stop": ["§"]}, "precise": {"top_k": 1}}))
    known = presets.load(file)
    assert known.keys() == {"precise", "balanced", "creative", "legal"}
    assert known["precise"].top_k == 1
    assert known["precise"].temperature is None
    plan = DecodingPlanner(presets=known).plan(SamplingFields(preset="legal", stop="x"), loaded_model())
    assert (plan.params.temperature, plan.params.stop) == (0, ("x",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a": 1}',
        '{"a": {"temprature": 1}}',
        '{"a": {"top_k": -2}}',
        '{"a": {"n": 2}}',
        "\xff",
    ],
)
def test_bad_presets_are_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "presets.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(PresetError) as caught:
        presets.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(PresetError):
        presets.load(tmp_path / "missing.json")


def test_the_options_words_are_read_as_json_if_they_are_any() -> None:
    fields = presets.operator_defaults(
        {"temperature": "0.7", "top_k": "20", "stop": "END", "ignore_eos": "true"}
    )
    assert fields == DecodingFields(temperature=0.7, top_k=20, stop="END", ignore_eos=True)
    for values in ({"temperature": "hot"}, {"temperature": "300"}, {"n": "2"}, {"x": "1"}):
        with pytest.raises(PresetError, match="--defaults"):
            presets.operator_defaults(values)


def test_defaults_that_would_fail_every_request_are_found_at_start() -> None:
    model = loaded_model()
    DecodingPlanner().check(model)
    for operator in (
        DecodingFields(mirostat=2, temperature=0),
        DecodingFields(allowed_token_ids=[9999]),
        DecodingFields(logit_bias=((9999, 1.0),)),
        DecodingFields(repetition_penalty=1.1, repeat_penalty=1.2),
    ):
        with pytest.raises(PresetError, match="the defaults"):
            DecodingPlanner(operator=operator).check(model)
    with pytest.raises(PresetError, match="preset 'odd'"):
        DecodingPlanner(presets={"odd": DecodingFields(min_tokens=3, max_tokens=2)}).check(model)


def test_built_in_presets_set_what_their_names_promise() -> None:
    temperatures = [BUILT_IN[name][1].temperature or 0 for name in ("precise", "balanced", "creative")]
    assert temperatures == sorted(temperatures)
    assert set(BUILT_IN) == {"precise", "balanced", "creative"}
    assert set(parameters(DecodingFields)) >= {"temperature", "stop", "logit_bias"}
