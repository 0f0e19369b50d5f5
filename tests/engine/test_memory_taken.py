"""Estimates of memory, held against what engine processes really take."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.embedding.values import EmbedRequest, Pooling
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.sizing.sizes import Need, resources, sizes_of

from tests.conftest import TinyModels
from tests.engine.harness import request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")

LENGTH = 1900
# An estimate has masks over all cells, and a step writes those that its texts reach: here, one in 64. They
# are three tenths of what more cells take, where layers with windows have masks of their own, too.
LEAST_SHARE = 0.66


def taken(engine: AsyncEngine) -> int:
    """Bytes that a process has of its own, and the weights that it maps.

    Of the code of libraries a kernel maps as much as lies ready: some 25 MB, and on the same machine, an hour
    later, 8 MB more.
    """
    size, counted = 0, ""
    for line in Path(f"/proc/{engine.pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counted = "Rss:" if line.endswith(".gguf") else "Anonymous:"
        elif line.startswith(counted):
            size += 1024 * int(line.split()[1])
    return size


async def work(engine: AsyncEngine) -> None:
    """A long prompt, and a long text for its vector."""
    token_ids = [i % 250 for i in range(LENGTH)]
    if engine.traits.can_generate:
        async for _ in engine.generate(request("text", token_ids, max_tokens=2)):
            pass
    vectors = EmbedRequest(
        id="vector", inputs=(tuple(token_ids[: engine.context_size]),), pooling=Pooling.MEAN
    )
    async for _ in engine.embed(vectors):
        pass


async def measured(config: EngineConfig, *, is_worked: bool) -> tuple[int, AsyncEngine]:
    engine = AsyncEngine(config)
    try:
        await engine.start()
        if is_worked:
            await work(engine)
        return taken(engine), engine
    finally:
        await engine.close()


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mamba", "lfm2"])
def test_an_engine_takes_what_is_estimated_and_no_more(tiny_models: TinyModels, architecture: str) -> None:
    """By itself, and for 32 or 64 MiB of cells, or 4 MB of states, more than by itself."""
    used, estimated = [], []
    for num_cells, max_sequences in ((1 << 13, 16), (1 << 17, 256)):
        config = EngineConfig(
            model_path=str(tiny_models[architecture]),
            num_cells=num_cells,
            max_sequences=max_sequences,
            batch_size=64,
            num_threads=1,
        )
        taken_by_it, engine = asyncio.run(measured(config, is_worked=True))
        assert engine.sizes is not None
        used.append(taken_by_it)
        estimated.append(engine.sizes.memory.at_start + engine.sizes.memory.vectors)
    assert all(one <= other for one, other in zip(used, estimated, strict=True))
    more = estimated[1] - estimated[0]
    assert LEAST_SHARE * more <= used[1] - used[0] <= more


def test_more_cells_take_as_much_more_as_is_estimated(tiny_models: TinyModels) -> None:
    few, many = (
        EngineConfig(model_path=str(tiny_models["gemma3"]), num_cells=count, num_host_cache_tokens=0)
        for count in (1 << 13, 1 << 17)
    )
    (used_by_few, one), (used_by_many, other) = (
        asyncio.run(measured(config, is_worked=False)) for config in (few, many)
    )
    assert one.sizes is not None
    assert other.sizes is not None
    more = other.sizes.memory.cells - one.sizes.memory.cells
    # llama.cpp's books are a sixth of this; an allocator's own are some hundred kilobytes.
    assert used_by_many - used_by_few == pytest.approx(more, rel=0.05)


def test_the_estimate_before_the_load_is_what_the_engine_settles_on(tiny_models: TinyModels) -> None:
    config = EngineConfig(model_path=str(tiny_models["llama"]), num_threads=1)
    foreseen = sizes_of(config, resources())
    _, engine = asyncio.run(measured(config, is_worked=False))
    assert engine.sizes == foreseen
    assert engine.need == Need(foreseen.memory.total)
