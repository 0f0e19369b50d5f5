"""The same request gives the same text, and the same numbers to the last bit, on memory of every kind."""

import random

import gguf
import pytest
from caravan.llama import library

from tests.conftest import TinyModels
from tests.engine.exactness import SITUATIONS, Exactness
from tests.engine.real_harness import RealHarness, WindowsHarness
from tests.tiny_model import ARCHITECTURES

_WINDOWS = "gemma3 windows"
_MODELS = [(name, "F32") for name in (*ARCHITECTURES, _WINDOWS)] + [("qwen2", "F16"), ("llama", "Q8_0")]


@pytest.fixture(scope="module", params=_MODELS, ids="-".join)
def exactness(request: pytest.FixtureRequest, tiny_models: TinyModels) -> Exactness:
    architecture, kind = request.param
    path = tiny_models.quantized(architecture.split()[0], gguf.GGMLQuantizationType[kind])
    rng = random.Random(5)
    stem = [rng.randrange(256) for _ in range(70)]
    prompts = [stem + [rng.randrange(256) for _ in range(own)] for own in (1, 90)]
    prompts.append([rng.randrange(256) for _ in range(9)])
    make = WindowsHarness if architecture == _WINDOWS else RealHarness
    return Exactness(path, prompts, num_tokens=12, num_others=20, make_harness=make)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_to_the_last_bit(exactness: Exactness, situation: str) -> None:
    SITUATIONS[situation](exactness)


@pytest.mark.parametrize("exactness", [("llama", "F32")], indirect=True, ids="-".join)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_where_streams_and_prompts_take_turns(
    exactness: Exactness, situation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "has_runs_of_rows", lambda: False)
    SITUATIONS[situation](exactness)
