"""The cache on the disk and the processes of engines: stopped, killed, and started anew."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from caravan.config.engine_config import DiskCacheConfig, EngineConfig
from caravan.engine.ipc.async_engine import AsyncEngine

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.engine.started import started
from tests.waiting import PATIENCE, until

PROMPT = [number % 250 for number in range(0, 3000, 5)]


@asynccontextmanager
async def engine_with(folder: Path, model: Path) -> AsyncIterator[AsyncEngine]:
    """A started engine that keeps prefixes in a folder; ended in any case."""
    config = EngineConfig(
        model_path=str(model),
        context_size=1024,
        num_cells=1024,
        num_threads=1,
        max_running=4,
        disk_cache=DiskCacheConfig(folder=str(folder), max_bytes=1 << 28),
    )
    async with started(config) as engine:
        yield engine


async def num_computed(engine: AsyncEngine, prompt: Sequence[int] = PROMPT, max_tokens: int = 2) -> int:
    """How many tokens of the prompt are computed to answer it."""
    item = request("r", prompt, max_tokens=max_tokens)
    outputs = [output async for output in engine.generate(item)]
    return len(prompt) - max(output.num_cached_tokens for output in outputs)


def test_the_next_process_computes_one_token_of_a_known_prompt(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            async with engine_with(tmp_path, tiny_models["llama"]) as engine:
                assert await num_computed(engine) == len(PROMPT)
            async with engine_with(tmp_path, tiny_models["llama"]) as engine:
                assert await num_computed(engine) == 1
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGKILL)
                await until(lambda: engine.num_restarts and engine.is_ready)
                assert await num_computed(engine) == 1
                assert engine.stats().num_hits["disk"] == len(PROMPT) - 1
            async with engine_with(tmp_path, tiny_models["qwen2"]) as engine:
                assert await num_computed(engine) == len(PROMPT)

    asyncio.run(main())


def test_a_folder_that_is_of_no_use_costs_nothing_else(tiny_models: TinyModels, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            async with engine_with(tmp_path / "file", tiny_models["llama"]) as engine:
                assert await num_computed(engine) == len(PROMPT)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["lfm2", "mamba", "gemma3"])
def test_what_cannot_be_cut_is_found_whole(tiny_models: TinyModels, tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            async with engine_with(tmp_path, tiny_models[name]) as engine:
                assert await num_computed(engine, PROMPT[:-1], max_tokens=0) == len(PROMPT) - 1
            async with engine_with(tmp_path, tiny_models[name]) as engine:
                assert await num_computed(engine, PROMPT, max_tokens=1) == 1
                assert await num_computed(engine, PROMPT[:-2], max_tokens=0) == len(PROMPT) - 2

    asyncio.run(main())
