"""Two engines with one small folder for prefixes, killed and ended at random while files are damaged: every
text is what an engine without a folder gives.

`SOAK_SECONDS` is how long (600).
"""

import asyncio
import contextlib
import os
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from caravan.config.engine_config import DiskCacheConfig, EngineConfig
from caravan.engine.disk_tier import REUSED_SECONDS
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.errors import EngineFailedError, EngineUnavailableError
from caravan.llama import library

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.engine.started import started
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not library.has_runs_of_rows(), reason="texts are the same to the last bit with the build of `make` alone"
)

_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
# Some dozens of files.
_MAX_BYTES = 3 << 20
_NUM_TEXTS = 24
_NUM_WORKERS = 4
_ANSWER = 12


@asynccontextmanager
async def engine_on(model: Path, folder: Path | None) -> AsyncIterator[AsyncEngine]:
    """A started engine with little memory, so that the folder has something to do."""
    disk = None if folder is None else DiskCacheConfig(folder=str(folder), max_bytes=_MAX_BYTES)
    config = EngineConfig(
        model_path=str(model),
        context_size=1024,
        num_cells=2048,
        num_host_cache_tokens=1024,
        num_threads=1,
        max_running=8,
        disk_cache=disk,
    )
    async with started(config) as engine:
        yield engine


async def answer(engine: AsyncEngine, prompt: list[int]) -> str:
    """What follows on a prompt, with temperature 0."""
    item = request(uuid.uuid4().hex, prompt, max_tokens=_ANSWER, ignore_eos=True)
    return "".join([output.text async for output in engine.generate(item)])


def _is_back(engine: AsyncEngine, num_restarts: int) -> bool:
    return engine.is_ready and engine.num_restarts > num_restarts


def texts(draw: random.Random) -> list[list[int]]:
    """Prompts that have a beginning in common with some others, and end anywhere."""
    stems = [[draw.randrange(250) for _ in range(600)] for _ in range(4)]
    found = []
    for _ in range(_NUM_TEXTS):
        stem = draw.choice(stems)[: draw.randrange(100, 600)]
        found.append([*stem, *(draw.randrange(250) for _ in range(draw.randrange(1, 300)))])
    return found


class Chaos:
    """Engines with one folder, and what is done to them."""

    def __init__(self, model: Path, folder: Path, draw: random.Random, end: float) -> None:
        self._model = model
        self._folder = folder
        self._draw = draw
        self._end = end
        self.num_killed = self.num_ended = self.num_damaged = self.num_answers = self.num_read = 0

    @property
    def is_over(self) -> bool:
        """Whether it has gone on for long enough."""
        return time.monotonic() >= self._end

    async def life(self, prompts: list[list[int]], expected: list[str]) -> None:
        """One engine after the other, each asked for texts until it is ended."""
        while not self.is_over:
            async with engine_on(self._model, self._folder) as engine:
                gate = asyncio.Event()
                gate.set()
                workers = (self._ask(engine, gate, prompts, expected) for _ in range(_NUM_WORKERS))
                asking = asyncio.gather(*workers)
                await self._disturb(engine, gate)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
            self.num_ended += 1

    async def _ask(
        self, engine: AsyncEngine, gate: asyncio.Event, prompts: list[list[int]], expected: list[str]
    ) -> None:
        while True:
            await gate.wait()
            number = self._draw.randrange(len(prompts))
            try:
                text = await answer(engine, prompts[number])
            except (EngineFailedError, EngineUnavailableError):
                await asyncio.sleep(0.05)
                continue
            assert text == expected[number]
            self.num_answers += 1

    async def _disturb(self, engine: AsyncEngine, gate: asyncio.Event) -> None:
        """Some times: let it rest until it writes, kill its process, damage files."""
        for _ in range(self._draw.randrange(1, 4)):
            await asyncio.sleep(self._draw.random() * 2)
            if self.is_over:
                return
            self.num_read += engine.stats().num_disk_tokens_read
            if self._draw.random() < 0.5:
                gate.clear()
                await asyncio.sleep(REUSED_SECONDS + self._draw.random() * 0.1)
            if self._draw.random() < 0.7 and engine.pid is not None:
                os.kill(engine.pid, signal.SIGKILL)
                self.num_killed += 1
                await until(partial(_is_back, engine, engine.num_restarts))
            gate.set()
            self._damage()

    def _damage(self) -> None:
        for path in self._draw.sample(files := sorted(self._folder.rglob("*.kv")), min(3, len(files))):
            with contextlib.suppress(OSError):
                content = bytearray(path.read_bytes())
                content[self._draw.randrange(len(content))] ^= 1
                path.write_bytes(content[: self._draw.choice([len(content), len(content) // 2])])
                self.num_damaged += 1


def test_ten_minutes_of_deaths_and_damage(tiny_models: TinyModels, tmp_path: Path) -> None:
    draw = random.Random(5)
    prompts, model = texts(draw), tiny_models["llama"]

    async def main() -> Chaos:
        async with engine_on(model, None) as engine:
            expected = [await answer(engine, prompt) for prompt in prompts]
        chaos = Chaos(model, tmp_path, draw, time.monotonic() + _SECONDS)
        async with asyncio.TaskGroup() as lives:
            for _ in range(2):
                lives.create_task(chaos.life(prompts, expected))
        return chaos

    chaos = asyncio.run(main())
    print({name: number for name, number in vars(chaos).items() if name.startswith("num")})
    assert min(chaos.num_killed, chaos.num_ended, chaos.num_damaged, chaos.num_answers, chaos.num_read) > 0
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.kv")) <= _MAX_BYTES * 9 / 8
    assert not list(tmp_path.rglob("*.part"))
