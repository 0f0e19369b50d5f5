"""A model whose layers another process holds, over llama.cpp's RPC."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.ipc.async_engine import AsyncEngine
from caravan.engine.ipc.child_process import EngineStartError
from caravan.engine.outputs import TokenLogprob
from caravan.errors import EngineFailedError
from caravan.llama import rpc

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.skipif(not rpc.is_built(), reason="this build of llama.cpp has no RPC")

PROMPT = range(90)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def worker(port: int) -> Iterator[subprocess.Popen[str]]:
    """A worker of its own on this machine."""
    command = [sys.executable, "-m", "caravan", "rpc-worker", "--port", str(port), "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.fullmatch(rf"worker on 127\.0\.0\.1:{port}: CPU \(.*\)\n", process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()


def engine_over(path: Path, *addresses: str) -> AsyncEngine:
    config = EngineConfig(
        model_path=str(path), context_size=4096, num_cells=4096, num_threads=1, rpc_workers=addresses
    )
    return AsyncEngine(config)


async def logprobs(engine: AsyncEngine) -> list[TokenLogprob]:
    outputs = [
        output async for output in engine.generate(request("r", PROMPT, max_tokens=12, num_logprobs=5))
    ]
    return [logprob for output in outputs for logprob in output.logprobs]


async def numbers_of(engine: AsyncEngine) -> list[TokenLogprob]:
    await engine.start()
    try:
        return await logprobs(engine)
    finally:
        await engine.close()


def test_a_worker_computes_what_the_machine_itself_computes(tiny_models: TinyModels) -> None:
    port = free_port()
    here = asyncio.run(numbers_of(engine_over(tiny_models["llama"])))
    with worker(port):
        engine = engine_over(tiny_models["llama"], f"127.0.0.1:{port}")
        there = asyncio.run(numbers_of(engine))
        assert engine.sizes is not None
        assert engine.sizes.placement.has_all
        assert engine.sizes.on_workers > 0
        assert engine.need.on_gpus == 0
    assert [one.token_id for one in there] == [one.token_id for one in here]
    for one, other in zip(here, there, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=0.01)
        assert one.top_ids == other.top_ids


def test_the_end_of_a_worker_costs_one_error_each_and_the_engine_comes_back(tiny_models: TinyModels) -> None:
    port = free_port()

    async def test() -> None:
        engine = engine_over(tiny_models["llama"], f"127.0.0.1:{port}")
        with worker(port) as process:
            await engine.start()
            before = await logprobs(engine)
            endless = request("endless", PROMPT, max_tokens=4000, ignore_eos=True)
            async with aclosing(engine.generate(endless)) as outputs:
                await anext(outputs)
                process.kill()
                with pytest.raises(EngineFailedError, match="ended unexpectedly"):
                    async for _ in outputs:
                        pass
        with worker(port):
            await until(lambda: engine.is_ready)
            assert await logprobs(engine) == before
            await engine.close()

    asyncio.run(asyncio.wait_for(test(), PATIENCE))


def test_a_worker_that_cannot_be_reached_is_named(tiny_models: TinyModels) -> None:
    address = f"127.0.0.1:{free_port()}"
    engine = engine_over(tiny_models["llama"], address)
    with pytest.raises(EngineStartError, match=rf"the worker {address} of --rpc cannot be reached: Conn"):
        asyncio.run(numbers_of(engine))
