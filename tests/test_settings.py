"""Options from flags, environment and defaults, each declared once."""

from pathlib import Path

import pytest

from server.cli import read_settings
from server.settings import Settings


def test_flags_beat_variables_and_variables_beat_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CARAVAN_PORT", "9001")
    monkeypatch.setenv("CARAVAN_CONTEXT_SIZE", "512")
    settings = read_settings(["--port", "9002", "--model-aliases", "a,b/c"])
    assert (settings.port, settings.context_size, settings.batch_size) == (9002, 512, 512)
    assert settings.model_aliases == ["a", "b/c"]


def test_every_option_is_a_flag_and_a_variable_with_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert field.description
        assert field.description.split(".")[0] in shown


def test_decoding_defaults_are_pairs_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings(["--defaults", "temperature=0.7,top_k=20"]).defaults.keys() == {
        "temperature",
        "top_k",
    }
    assert read_settings(["--defaults", '{"stop": ["a,b"]}']).defaults == {"stop": ["a,b"]}
    monkeypatch.setenv("CARAVAN_DEFAULTS", '{"temperature": 0.7}')
    assert read_settings([]).defaults == {"temperature": 0.7}
    with pytest.raises(ValueError, match="defaults"):
        read_settings(["--defaults", "temperature"])


def test_switches_and_paths() -> None:
    settings = read_settings(["--allow-unknown-fields", "--model", "/some/where.gguf", "--model-id", "x"])
    assert settings.allow_unknown_fields
    assert settings.model == Path("/some/where.gguf")
    assert read_settings(["--no-allow-unknown-fields"]).allow_unknown_fields is False


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--port", "99999"], "--port"),
        (["--port", "http"], "--port"),
        (["--context-size", "-1"], "--context-size"),
        (["--max-sequences", "257"], "--max-sequences"),
        (["--keep-alive-seconds", "0"], "--keep-alive-seconds"),
        (["--keep-alive-seconds", "nan"], "--keep-alive-seconds"),
        (["--log-level", "loud"], "--log-level"),
        (["--prot", "8000"], "--prot"),
        (["model.gguf"], "model.gguf"),
        (["--port"], "--port"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(options: list[str], name: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_settings(options)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_variable_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_MAX_BODY_BYTES", "plenty")
    with pytest.raises(ValueError, match="--max-body-bytes"):
        read_settings([])
