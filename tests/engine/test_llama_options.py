"""llama.cpp's own options in an engine's process: what they come to, and what ends its start."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions, WeightOptions
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import EngineStartError
from caravan.engine.outputs import TokenLogprob

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.tiny_bert import write_tiny_bert
from tests.tiny_heads import write_control_vector, write_wide_heads
from tests.tiny_model import EMBED

PROMPT = range(90)


def config_of(path: Path, weights: WeightOptions | None = None, **context: Any) -> EngineConfig:  # noqa: ANN401
    return EngineConfig(
        model_path=str(path),
        context_size=512,
        num_cells=1024,
        num_threads=1,
        weights=weights or WeightOptions(),
        context=ContextOptions(**context),
    )


async def told(config: EngineConfig) -> tuple[list[TokenLogprob], AsyncEngine]:
    engine = AsyncEngine(config)
    try:
        await engine.start()
        asked = request("r", PROMPT, max_tokens=8, num_logprobs=2, ignore_eos=True)
        outputs = [output async for output in engine.generate(asked)]
        return [logprob for output in outputs for logprob in output.logprobs], engine
    finally:
        await engine.close()


def fault(config: EngineConfig) -> str:
    with pytest.raises(EngineStartError) as caught:
        asyncio.run(told(config))
    return str(caught.value)


def test_an_engine_works_with_them(tmp_path: Path) -> None:
    path = tmp_path / "wide.gguf"
    write_wide_heads(path, 64)
    write_control_vector(tmp_path / "vector.gguf", {1: np.ones(EMBED, np.float32)})
    plain, usual = asyncio.run(told(config_of(path)))
    same, _ = asyncio.run(
        told(config_of(path, WeightOptions(load_mode="none", numa="distribute"), threads_batch=2))
    )
    assert same == plain
    vectors = ((str(tmp_path / "vector.gguf"), 2.0),)
    other, engine = asyncio.run(
        told(config_of(path, cache_type_k="q8_0", cache_type_v="q4_0", control_vectors=vectors))
    )
    assert len(other) == len(plain)
    assert other[0].logprob != plain[0].logprob
    assert usual.sizes is not None
    assert engine.sizes is not None
    assert engine.sizes.memory.cells < 0.75 * usual.sizes.memory.cells


def test_what_cannot_hold_ends_the_start_with_its_reason(tiny_models: TinyModels, tmp_path: Path) -> None:
    assert "cache_type_k q8_0 stores 32 numbers together" in fault(
        config_of(tiny_models["llama"], cache_type_k="q8_0")
    )
    assert "does not rotate positions" in fault(config_of(tiny_models["mamba"], rope_freq_base=5.0))
    assert "no buffer 'CUDA0' here; there are CPU" in fault(
        config_of(tiny_models["llama"], WeightOptions(override_tensor=(("ffn", "CUDA0"),)))
    )
    write_tiny_bert(tmp_path / "bert.gguf")
    write_control_vector(tmp_path / "vector.gguf", {1: np.ones(EMBED, np.float32)})
    vectors = ((str(tmp_path / "vector.gguf"), 1.0),)
    assert "control vectors are for models that do" in fault(
        config_of(tmp_path / "bert.gguf", control_vectors=vectors)
    )
