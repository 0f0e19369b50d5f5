"""The example of a settings file says what the settings are."""

import re
import tomllib
from pathlib import Path

import pytest
from caravan.config.load import read_configuration
from caravan.config.model_settings import ModelSettings
from caravan.config.settings import Settings

from deploy.config_example import EXAMPLE, example

OPTION = re.compile(r"^# (?=\w+ = |\[\[)", re.MULTILINE)


def test_the_example_is_current() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example(), "run python -m deploy.config_example"


def test_the_example_as_it_stands_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARAVAN_DATA_DIR")
    assert read_configuration({"config": str(EXAMPLE)}).origins == {"config": "--config"}


def test_every_option_of_it_can_be_uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("CARAVAN_DATA_DIR")
    file = tmp_path / "caravan.toml"
    file.write_text(OPTION.sub("", example()))
    document = tomllib.loads(file.read_text())
    assert document.keys() == Settings.model_fields.keys() - {"config"}
    assert document["models"][0].keys() == ModelSettings.model_fields.keys()
    settings = read_configuration({"config": str(file)}).settings
    default = Settings()
    for name in document:
        if getattr(default, name) is not None and name != "models":
            assert getattr(settings, name) == getattr(default, name)
