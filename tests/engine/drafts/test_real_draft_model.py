"""A draft model at work: over llama.cpp's own cells, and in an engine's process."""

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.gain import ModelPace
from caravan.engine.drafts.loading import LoadedDraftModel
from caravan.engine.drafts.proposers import Proposers
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import EngineStartError
from caravan.engine.kv.continuations import Continuations
from caravan.engine.params import GenerationRequest

from tests.conftest import TinyModels
from tests.engine.drafts.drafted import draft_always
from tests.engine.harness import Driver, request
from tests.engine.real_harness import RealHarness


def _requests() -> list[GenerationRequest]:
    rng = random.Random(3)
    prompts = [[rng.randrange(256) for _ in range(rng.randrange(5, 90))] for _ in range(4)]
    shapes: tuple[dict[str, Any], ...] = (
        {},
        {"n": 2, "temperature": 0.7, "seed": 1},
        {"repeat_penalty": 1.2},
        {"num_logprobs": 2},
    )
    return [
        request(f"r{number}", prompt, max_tokens=30, **shape)
        for number, (prompt, shape) in enumerate(zip(prompts, shapes, strict=True))
    ]


def _drafting(path: Path, draft: Path) -> tuple[RealHarness, LoadedDraftModel]:
    harness = RealHarness(path)
    config = msgspec.structs.replace(harness.config, draft_model_path=str(draft), num_threads=1)
    loaded = LoadedDraftModel(config, harness.model.vocab)
    drafter = harness.engine._drafter
    continuations = Continuations(harness.engine._kv_cache.trees)
    drafter.make_chain = Proposers(harness.model.vocab.token_bytes, continuations, loaded.drafts).chain_for
    drafter._draft_model = loaded.drafts
    return harness, loaded


@pytest.mark.parametrize("draft", ["llama", "qwen2"])
def test_texts_are_the_same_with_a_draft_model(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch, draft: str
) -> None:
    """One that writes the same, and one that does not."""
    draft_always(monkeypatch)
    monkeypatch.setattr(ModelPace, "num_worth", lambda _self, _acceptance, most, *_: most)
    plain = RealHarness(tiny_models["llama"])
    expected = plain.run(_requests())
    monkeypatch.setattr(Driver, "usual_max_drafted", 5)
    harness, loaded = _drafting(tiny_models["llama"], tiny_models[draft])
    assert harness.run(_requests()) == expected
    stats = harness.engine.stats()
    assert stats.num_drafted["model"] > 50
    if draft == "llama":
        assert stats.num_accepted["model"] > stats.num_drafted["model"] / 3
    loaded.close()


def _config(model: Path, draft: Path) -> EngineConfig:
    return EngineConfig(
        model_path=str(model), draft_model_path=str(draft), num_cells=1024, num_threads=1, max_drafted=8
    )


def test_an_engines_process_has_one(tiny_models: TinyModels) -> None:
    async def answer() -> str:
        engine = AsyncEngine(_config(tiny_models["llama"], tiny_models["qwen2"]))
        await engine.start()
        try:
            outputs = [output async for output in engine.generate(request("r", range(40, 60), max_tokens=50))]
            return "".join(output.text for output in outputs)
        finally:
            await engine.close()

    assert (
        asyncio.run(answer())
        == RealHarness(tiny_models["llama"]).run([request("r", range(40, 60), max_tokens=50)])["r", 0]
    )


def test_a_process_does_not_start_with_one_of_other_tokens(tiny_models: TinyModels, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = tiny_models["qwen2"].read_bytes()
    other.write_bytes(data.replace(b"<|endoftext|>", b"<|endoftexx|>", 1))

    async def start() -> None:
        engine = AsyncEngine(_config(tiny_models["llama"], other))
        try:
            await engine.start()
        finally:
            await engine.close()

    with pytest.raises(EngineStartError, match=r"other\.gguf cannot be the draft model of llama"):
        asyncio.run(start())
