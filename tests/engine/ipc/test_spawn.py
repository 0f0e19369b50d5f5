"""The engine's process, started before anybody knows what for."""

import asyncio
import subprocess
import sys
from collections.abc import Generator

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc import spawn
from caravan.engine.ipc.async_engine import AsyncEngine

from tests.conftest import TinyModels

_SECONDS = 60


@pytest.fixture(autouse=True)
def none_ahead() -> Generator[None, None, None]:
    """Nothing that a test starts ahead is left for another."""
    yield
    while spawn._ahead:
        end(spawn._ahead.pop())


def end(launched: spawn.SpawnedProcess) -> int:
    launched.connection.close()
    return launched.process.wait(_SECONDS)


def test_it_is_taken_once() -> None:
    spawn.launch_ahead()
    (ahead,) = spawn._ahead
    first, second = spawn.take(), spawn.take()
    assert first is ahead
    assert second.process.pid != first.process.pid
    assert end(first) == end(second) == 0


def test_one_that_has_died_is_replaced() -> None:
    spawn.launch_ahead()
    (ahead,) = spawn._ahead
    ahead.process.kill()
    ahead.process.wait(_SECONDS)
    taken = spawn.take()
    assert taken.process.poll() is None
    assert end(taken) == 0


def test_another_module_has_a_process_of_its_own() -> None:
    spawn.launch_ahead()
    (ahead,) = spawn._ahead
    other = spawn.take("tests.engine.hanging")
    assert spawn._ahead == [ahead]
    assert end(other) == 0


def test_an_engine_takes_it(tiny_models: TinyModels) -> None:
    spawn.launch_ahead()
    (ahead,) = spawn._ahead

    async def start() -> int | None:
        engine = AsyncEngine(EngineConfig(model_path=str(tiny_models["llama"])))
        await engine.start()
        pid = engine.pid
        await engine.close()
        return pid

    assert asyncio.run(start()) == ahead.process.pid
    assert not spawn._ahead


def test_there_is_nothing_to_wait_for_before_it_starts() -> None:
    script = "import sys; from caravan.engine.ipc import spawn; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "llama_cpp", "asyncio", "msgspec"} & set(found.stdout.split())
