"""The engine in its own process, on a real tiny model: alive, dead, and alive again."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc import spawn
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import ChildProcess, EngineStartError
from caravan.engine.ipc.watchdog import WatchLimits
from caravan.engine.outputs import FinishReason, TokenOutput
from caravan.engine.params import GenerationRequest, Reasoning
from caravan.errors import (
    EngineFailedError,
    EngineUnavailableError,
    InvalidRequestError,
    OverloadedError,
)
from msgspec.structs import replace

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.engine.started import started
from tests.waiting import PATIENCE, until

# A text that goes on until somebody ends it.
ENDLESS: dict[str, Any] = {"max_tokens": 60_000, "ignore_eos": True}


@asynccontextmanager
async def engine_on(
    path: Path, watch: WatchLimits | None = None, num_cells: int = 1 << 16
) -> AsyncIterator[AsyncEngine]:
    """A started engine, with room for `ENDLESS` unless told otherwise; ended in any case."""
    config = EngineConfig(
        model_path=str(path), context_size=num_cells, num_cells=num_cells, num_threads=1, max_running=32
    )
    async with started(config, watch) as engine:
        yield engine


async def collect(engine: AsyncEngine, item: GenerationRequest) -> list[TokenOutput]:
    return [output async for output in engine.generate(item)]


def run(
    test: Callable[[AsyncEngine], Awaitable[None]],
    path: Path,
    watch: WatchLimits | None = None,
    num_cells: int = 1 << 16,
) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), engine_on(path, watch, num_cells) as engine:
            await test(engine)

    asyncio.run(main())


def test_a_thought_is_ended_for_its_owner_alone(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        thought = Reasoning("<think>", "</think>", True, None, (7,), (6,), is_controlled=True)
        asked = replace(request("r", [1, 2, 3], **ENDLESS), reasoning=thought, owner="a")
        free = replace(asked, id="free", reasoning=replace(thought, is_controlled=False))
        async with aclosing(engine.generate(asked)) as outputs, aclosing(engine.generate(free)) as others:
            await anext(outputs)
            await anext(others)
            assert engine.end_thoughts("r", "b") is None
            assert engine.end_thoughts("other", "a") is None
            assert engine.end_thoughts("free", "a") is False
            assert engine.end_thoughts("r", "a") is True
            async for output in outputs:
                if output.num_completion_tokens > output.num_reasoning_tokens:
                    break
            async for output in others:
                assert output.num_completion_tokens == output.num_reasoning_tokens
                if output.num_completion_tokens > 20:
                    break
        assert engine.end_thoughts("r", "a") is None

    run(test, tiny_models["llama"])


def test_thirty_two_at_once_equal_each_alone(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        items = [request(f"r{i}", [i + 1, *range(40)], max_tokens=24) for i in range(32)]
        together = await asyncio.gather(*(collect(engine, item) for item in items))
        for item, outputs in zip(items[::5], together[::5], strict=True):
            again = await collect(engine, item)
            assert "".join(o.text for o in again) == "".join(o.text for o in outputs)
        assert all(outputs[-1].finish_reason is not None for outputs in together)

    run(test, tiny_models["llama"], num_cells=2048)


def test_a_client_that_leaves_frees_its_sequence(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate(request("r", range(30), **ENDLESS, seed=3))
        await anext(stream)
        assert engine.stats().num_running == 1
        await stream.aclose()
        await collect(engine, request("next", range(5), max_tokens=1))
        assert engine.stats().num_running == 0

    run(test, tiny_models["llama"])


def test_a_death_costs_one_error_each_and_the_engine_comes_back(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        before = await collect(engine, request("before", range(30)))
        items = [request(f"r{i}", range(30 + i), **ENDLESS) for i in range(4)]
        streams = [engine.generate(item) for item in items]
        for stream in streams:
            await anext(stream)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        for stream in streams:
            with pytest.raises(EngineFailedError, match="unexpectedly"):
                async for _ in stream:
                    pass
        assert not engine.is_ready
        with pytest.raises(EngineUnavailableError) as caught:
            await collect(engine, request("early", range(30)))
        assert caught.value.retry_after
        await until(lambda: engine.is_ready)
        assert engine.num_restarts == 1
        after = await collect(engine, request("after", range(30)))
        assert "".join(o.text for o in after) == "".join(o.text for o in before)

    run(test, tiny_models["llama"])


def test_signals_to_the_whole_group_leave_the_engine_to_its_parent(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate(request("r", range(30), max_tokens=100, ignore_eos=True))
        await anext(stream)
        assert engine.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(engine.pid, number)
        outputs = [output async for output in stream]
        assert outputs[-1].num_completion_tokens == 100

    run(test, tiny_models["llama"])


def test_closing_the_engine_ends_requests_and_the_process(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate(request("r", range(30), **ENDLESS))
        await anext(stream)
        pid = engine.pid
        assert pid is not None
        await engine.close()
        with pytest.raises(EngineFailedError, match="shutting down"):
            async for _ in stream:
                pass
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(test, tiny_models["llama"])


def test_a_first_prompt_that_kills_is_tried_again_with_plain_kernels(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ChildProcess, "module", "tests.engine.first_prompt_death")

    async def test(engine: AsyncEngine) -> None:
        assert not engine.config.use_extra_buffers
        assert "use_extra_bufts off" in caplog.text
        outputs = await collect(engine, request("r", range(30), max_tokens=3))
        assert outputs[-1].finish_reason in (FinishReason.LENGTH, FinishReason.STOP)

    run(test, tiny_models["llama"])


@pytest.mark.parametrize("module", ["hanging", "spinning"])
def test_an_engine_that_hangs_is_replaced(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(ChildProcess, "module", f"tests.engine.{module}")

    async def test(engine: AsyncEngine) -> None:
        # It never says the token that makes an engine hang.
        other = engine.generate(request("other", range(30), **ENDLESS, logit_bias=((7, -1e9),)))
        await anext(other)
        with pytest.raises(EngineFailedError, match="the engine hung and was ended: "):
            await collect(engine, request("r", [7, 7]))
        with pytest.raises(EngineFailedError, match="the engine hung"):
            async for _ in other:
                pass
        await until(lambda: engine.is_ready)
        await collect(engine, request("again", range(20, 60), max_tokens=1))

    run(test, tiny_models["llama"], WatchLimits(tick_seconds=0.1))


def test_an_engine_that_hangs_while_it_loads_is_one_clear_error(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChildProcess, "module", "tests.engine.stuck_start")

    async def test(engine: AsyncEngine) -> None:
        raise AssertionError(engine)

    with pytest.raises(EngineStartError, match="hung while loading: nothing has moved in it"):
        run(test, tiny_models["llama"], WatchLimits(tick_seconds=0.1))


def test_a_supervisor_goes_on_whatever_fails(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One failure after the other, each of another kind, and then the engine is back."""
    failures = [OSError(24, "Too many open files"), MemoryError(), RuntimeError("can't start new thread")]
    take = spawn.take

    def failing(module: str) -> spawn.SpawnedProcess:
        if failures:
            raise failures.pop(0)
        return take(module)

    async def test(engine: AsyncEngine) -> None:
        monkeypatch.setattr(spawn, "take", failing)
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        await until(lambda: len(failures) < 3)
        await until(lambda: "does not start" in str(refusal(engine)))
        await until(lambda: engine.is_ready)
        outputs = await collect(engine, request("after", range(30), max_tokens=3))
        assert outputs[-1].finish_reason is not None

    run(test, tiny_models["llama"])
    for told in ("Too many open files", "MemoryError", "can't start new thread"):
        assert told in caplog.text


def refusal(engine: AsyncEngine) -> EngineUnavailableError | None:
    try:
        engine._supervisor.taking()
    except EngineUnavailableError as error:
        return error
    return None


def test_what_a_child_says_may_make_no_sense(tiny_models: TinyModels) -> None:
    async def test(engine: AsyncEngine) -> None:
        child = engine._supervisor.child
        assert child is not None
        child._reader.feed_data(b"\x03\x00\x00\x00???")
        await until(lambda: engine.num_restarts == 1)
        await collect(engine, request("after", range(30), max_tokens=3))

    run(test, tiny_models["llama"])


def test_a_file_that_is_no_model_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF but not really")

    async def test(engine: AsyncEngine) -> None:
        raise AssertionError(engine)

    with pytest.raises(EngineStartError, match=r"broken\.gguf"):
        run(test, path)


def test_what_the_child_logs_comes_out_here(
    tiny_models: TinyModels, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        engine = AsyncEngine(EngineConfig(model_path=str(tiny_models["llama"])))
        await engine.start()
        await engine.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(test())
    assert any(entry.name == "llama.cpp" and "llama" in entry.message for entry in caplog.records)


def test_a_full_queue_refuses_the_next_and_nobody_else(tiny_models: TinyModels) -> None:
    async def test() -> None:
        config = EngineConfig(model_path=str(tiny_models["llama"]), max_running=1, max_waiting=2)
        engine = AsyncEngine(config)
        await engine.start()
        try:
            running = [asyncio.create_task(collect(engine, request(f"r{i}", range(20)))) for i in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError) as caught:
                await collect(engine, request("late", range(20)))
            assert caught.value.retry_after
            with pytest.raises(OverloadedError):
                engine.check_room("", 1.0, 3)
            with pytest.raises(InvalidRequestError, match="3 are taken at most") as never:
                engine.check_room("", 1.0, 4)
            assert never.value.param == "n"
            assert all(outputs[-1].finish_reason for outputs in await asyncio.gather(*running))
            await collect(engine, request("later", range(20)))
        finally:
            await engine.close()

    asyncio.run(test())


def test_whoever_gives_way_is_told_that_the_queue_is_full(tiny_models: TinyModels) -> None:
    async def test() -> None:
        engine = AsyncEngine(EngineConfig(model_path=str(tiny_models["llama"]), max_running=1, max_waiting=3))
        await engine.start()
        try:
            greedy = replace(request("greedy", range(20), n=4), owner="a")
            modest = replace(request("modest", range(20), n=2), owner="b")
            asking = [asyncio.create_task(collect(engine, item)) for item in (greedy, modest)]
            with pytest.raises(OverloadedError):
                await asking[0]
            assert (await asking[1])[-1].finish_reason is not None
        finally:
            await engine.close()

    asyncio.run(test())
