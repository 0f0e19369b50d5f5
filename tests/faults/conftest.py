"""A tiny model for real processes."""

from pathlib import Path

import pytest

from tests.conftest import TinyModels

MODEL = "tiny"


@pytest.fixture(scope="session")
def tiny(tiny_models: TinyModels) -> Path:
    """The file of a small model that babbles, but the same babble for the same question."""
    return tiny_models["qwen2"]


@pytest.fixture(scope="session")
def tiny_options(tiny: Path) -> tuple[str, ...]:
    """Options of a server of that model, under the name `tiny`."""
    return ("--model", str(tiny), "--model-id", MODEL, "--context-size", "2048", "--threads", "1")
