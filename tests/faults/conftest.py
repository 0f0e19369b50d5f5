"""A tiny model for real processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TinyModels
from tests.tiny_model import write_tiny_model

MODEL = "tiny"
# Fields of texts that go on until their client leaves: with `roomy_options`, for longer than any test.
ENDLESS: dict[str, Any] = {"max_tokens": 60_000, "ignore_eos": True}


@dataclass(frozen=True)
class Others:
    """Another training of the same network, and a model of another kind."""

    like: Path
    unlike: Path


@pytest.fixture(scope="session")
def tiny(tiny_models: TinyModels) -> Path:
    """The file of a small model that babbles, but the same babble for the same question."""
    return tiny_models["qwen2"]


@pytest.fixture(scope="session")
def tiny_options(tiny: Path) -> tuple[str, ...]:
    """Options of a server of that model, under the name `tiny`."""
    return ("--model", str(tiny), "--model-id", MODEL, "--context-size", "2048", "--threads", "1")


@pytest.fixture(scope="session")
def roomy_options(tiny: Path) -> tuple[str, ...]:
    """The same with room for texts that do not end while a test looks."""
    return ("--model", str(tiny), "--model-id", MODEL, "--context-size", "65536", "--threads", "1")


@pytest.fixture(scope="session")
def other_files(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Others:
    """Files that take the place of the small model's."""
    like = tmp_path_factory.mktemp("other") / "other.gguf"
    write_tiny_model(like, "qwen2", seed=1)
    return Others(like, tiny_models["llama"])
