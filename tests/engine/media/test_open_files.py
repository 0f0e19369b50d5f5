"""How many files an engine may have open whose requests have images, each in a file of its own."""

import asyncio
import resource
from collections.abc import Generator
from pathlib import Path

import pytest
from caravan.config.engine_config import EngineConfig

from tests.conftest import TinyModels
from tests.engine.started import started

_FEW = 512


@pytest.fixture
def hard_limit() -> Generator[int, None, None]:
    """That of this process, whose soft one is low meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FEW, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("has_projector", [False, True])
def test_as_many_as_the_system_allows(
    tiny_models: TinyModels, hard_limit: int, *, has_projector: bool
) -> None:
    path = str(tiny_models["qwen2"])
    projector = path if has_projector else ""
    config = EngineConfig(model_path=path, projector_path=projector, context_size=256, num_threads=1)

    async def live() -> None:
        async with started(config) as engine:
            lines = Path(f"/proc/{engine.pid}/limits").read_text().splitlines()
            (line,) = [line for line in lines if line.startswith("Max open files")]
            assert (int(line.split()[3]) > _FEW) == (has_projector and hard_limit != _FEW)

    asyncio.run(live())
