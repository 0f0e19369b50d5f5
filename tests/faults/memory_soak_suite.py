"""Engines on every kind of memory at once, with little room, checkpoints, a folder for prefixes, and adapters
that come and go: killed at random, and every text is what a plain loop over llama.cpp gives.

`SOAK_SECONDS` is how long (600).
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from caravan.config.engine_config import DiskCacheConfig, EngineConfig
from caravan.config.llama_config import ContextOptions
from caravan.engine.disk_tier import REUSED_SECONDS
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.outputs import EngineStats
from caravan.engine.params import AdapterSet, GenerationRequest
from caravan.errors import EngineFailedError, EngineUnavailableError

from tests.conftest import TinyModels
from tests.engine.real_harness import CONTEXT_SIZE, Workload
from tests.engine.started import started
from tests.tiny_adapter import write_adapter, write_merged
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("exact_numbers")

_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
_KINDS = {"llama": "anywhere", "gemma3": "checkpoints", "mamba": "checkpoints", "lfm2": "checkpoints"}
_NUM_TEXTS = 40
_NUM_WORKERS = 8
# Long enough for those that run together to grow out of the cells.
_LONGEST = 60
_MAX_BYTES = 8 << 20
# As `exact_numbers` has it in this process.
_EXACT = ContextOptions(flash_attn="off", cache_type_k="f32", cache_type_v="f32")
_LOST = (EngineFailedError, EngineUnavailableError)


class Asked:
    """Requests whose texts are known: of the model as it is, and with each of two adapters."""

    def __init__(self, model: Path, folder: Path, seed: int) -> None:
        self.files = {name: folder / f"{name}.gguf" for name in ("one", "two")}
        self.known: dict[str, list[tuple[GenerationRequest, str]]] = {"": self._known(model, seed)}
        for number, (name, file) in enumerate(self.files.items(), 1):
            merged = folder / f"merged-{name}.gguf"
            write_merged(merged, model, write_adapter(file, model, number))
            self.known[name] = self._known(merged, seed + number)

    @staticmethod
    def _known(model: Path, seed: int) -> list[tuple[GenerationRequest, str]]:
        workload = Workload(model, seed)
        try:
            found: list[GenerationRequest] = []
            for number in range(_NUM_TEXTS):
                # Every second one goes on with the one before, as conversations do.
                turn = found[-1] if number % 2 else None
                before = () if turn is None else (*turn.token_ids, *workload.answers[turn.id])
                prompt = partial(_prompt, workload, before)
                found.append(workload.request(prompt, lambda: workload.params(_LONGEST)))
            return [(item, workload.expected[item.id, 0]) for item in found]
        finally:
            workload.close()


def _prompt(workload: Workload, before: Sequence[int]) -> list[int]:
    return [*before, *workload.tokens(5)] if before else workload.prompt()


class Life:
    """One kind's engine, asked and disturbed until the end."""

    def __init__(self, kind: str, model: Path, folder: Path, asked: Asked, draw: random.Random) -> None:
        self.kind = kind
        self._asked = asked
        self._draw = draw
        self._is_late = False
        self._num_asked = 0
        self.counts: Counter[str] = Counter()
        self._config = EngineConfig(
            model_path=str(model),
            context_size=CONTEXT_SIZE,
            # Windows of all sequences have to take less than that.
            num_cells=512 if kind == "gemma3" else 256,
            num_host_cache_tokens=300,
            checkpoint_bytes=40_000,
            batch_size=64,
            max_sequences=8,
            max_running=8,
            num_threads=1,
            context=_EXACT,
            adapters=(("one", str(asked.files["one"])),),
            disk_cache=DiskCacheConfig(folder=str(folder), max_bytes=_MAX_BYTES),
        )

    async def run(self, end: float) -> None:
        """Live until then, in one server's engine after the other."""
        while time.monotonic() < end:
            async with started(self._config) as engine, self._asking(engine) as gate:
                assert engine.traits.prefix_reuse == _KINDS[self.kind]
                for _ in range(self._draw.randrange(2, 6)):
                    if time.monotonic() < end:
                        await self._disturb(engine, gate)
                self._count(engine.stats())
            self._is_late = False
            self.counts["ended"] += 1

    @contextlib.asynccontextmanager
    async def _asking(self, engine: AsyncEngine) -> AsyncIterator[asyncio.Event]:
        """Workers that ask while the gate is open, and whose faults are raised at the end."""
        gate, over = asyncio.Event(), asyncio.Event()
        gate.set()
        async with asyncio.TaskGroup() as workers:
            for _ in range(_NUM_WORKERS):
                workers.create_task(self._work(engine, gate, over))
            try:
                yield gate
            finally:
                over.set()
                gate.set()

    async def _work(self, engine: AsyncEngine, gate: asyncio.Event, over: asyncio.Event) -> None:
        while not over.is_set():
            await gate.wait()
            name = self._draw.choice(["", "", "one"])
            await self._ask(engine, name, ((name, 1.0),) if name else ())

    async def _ask(self, engine: AsyncEngine, known: str, lora: AdapterSet) -> None:
        """One request, which may be given up; what comes of it is what it has to be."""
        item, expected = self._draw.choice(self._asked.known[known])
        self._num_asked += 1
        item = msgspec.structs.replace(item, id=f"{self.kind}-{self._num_asked}", lora=lora)
        text, most = "", self._draw.choice([1000, 1000, 1000, 3])
        try:
            async with contextlib.aclosing(engine.generate(item)) as outputs:
                async for output in outputs:
                    text += output.text
                    if (most := most - 1) == 0:
                        assert expected.startswith(text), (self.kind, known)
                        self.counts["given up"] += 1
                        return
        except _LOST:
            await asyncio.sleep(0.05)
            return
        assert text == expected, (self.kind, known, item)
        self.counts[f"answers of {known or 'the model'}"] += 1

    async def _disturb(self, engine: AsyncEngine, gate: asyncio.Event) -> None:
        """After a while: have it rest until it writes, change its adapters, or kill its process."""
        await asyncio.sleep(self._draw.random() * 2)
        act = self._draw.choice(["rest", "adapter", "kill"])
        if act == "rest":
            gate.clear()
            await asyncio.sleep(REUSED_SECONDS + self._draw.random() * 0.2)
            gate.set()
        elif act == "adapter":
            with contextlib.suppress(*_LOST):
                await self._change(engine)
        elif engine.pid is not None:
            self._count(engine.stats())
            num_restarts = engine.num_restarts
            os.kill(engine.pid, signal.SIGKILL)
            self.counts["killed"] += 1
            await until(partial(_is_back, engine, num_restarts))

    async def _change(self, engine: AsyncEngine) -> None:
        """Add an adapter under one name, of either file, and ask it; another time, take it away."""
        if self._is_late:
            await engine.adapters.remove("late")
            self._is_late = False
            return
        name = self._draw.choice(["one", "two"])
        await engine.adapters.add("late", str(self._asked.files[name]))
        self._is_late = True
        for _ in range(4):
            await self._ask(engine, name, (("late", 1.0),))
        self.counts["added"] += 1

    def _count(self, stats: EngineStats) -> None:
        """Note what a process has done, before it ends."""
        self.counts["preempted"] += stats.num_preemptions
        self.counts["checkpoints used"] += stats.num_checkpoints_used
        self.counts["tokens from the disk"] += stats.num_disk_tokens_read
        self.counts["tokens in memory"] += stats.num_cached_tokens


def _is_back(engine: AsyncEngine, num_restarts: int) -> bool:
    return engine.is_ready and engine.num_restarts > num_restarts


def test_ten_minutes_on_every_kind_of_memory(tiny_models: TinyModels, tmp_path: Path) -> None:
    lives = []
    for number, kind in enumerate(_KINDS):
        folder = tmp_path / kind
        folder.mkdir()
        asked = Asked(tiny_models[kind], folder, 100 * number)
        lives.append(Life(kind, tiny_models[kind], tmp_path / "disk", asked, random.Random(number)))

    async def main() -> None:
        end = time.monotonic() + _SECONDS
        async with asyncio.TaskGroup() as group:
            for life in lives:
                group.create_task(life.run(end))

    asyncio.run(main())
    for life in lives:
        print(life.kind, dict(life.counts))
    wanted = {"killed", "ended", "added", "given up", "tokens from the disk", "tokens in memory"}
    wanted |= {"answers of the model", "answers of one", "preempted", "checkpoints used"}
    for life in lives:
        without = {"llama": "checkpoints used", "mamba": "preempted"}.get(life.kind)
        assert [name for name in wanted if not life.counts[name] and name != without] == [], life.kind
