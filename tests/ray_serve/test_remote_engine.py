"""An engine that is several, over real ones: texts are those of one engine, whatever dies."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
from caravan.engine.embedding.values import EmbedRequest, Pooling
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest
from caravan.errors import EngineFailedError, InvalidRequestError
from caravan.ray_serve.remote_engine import RemoteEngine
from caravan.ray_serve.wire import Route
from msgspec.structs import replace

from tests.conftest import TinyModels
from tests.engine.harness import request
from tests.ray_serve.local_replicas import ROOT, LocalReplicas, replicas_on
from tests.waiting import PATIENCE, until

Test = Callable[[RemoteEngine, LocalReplicas], Awaitable[None]]


def run(test: Test, path: Path, count: int = 2) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), replicas_on(path, count) as replicas:
            engine = RemoteEngine(replicas, ROOT)
            await engine.start()
            try:
                await test(engine, replicas)
            finally:
                await engine.close()

    asyncio.run(main())


async def collect(engine: RemoteEngine, item: GenerationRequest) -> list[TokenOutput]:
    return [output async for output in engine.generate(item)]


def text_of(outputs: list[TokenOutput]) -> str:
    return "".join(output.text for output in outputs)


def mixed(count: int) -> list[GenerationRequest]:
    return [
        request(
            f"r{number}",
            [3 + number % 3] * 40 + [number],
            max_tokens=200,
            ignore_eos=True,
            temperature=[0.0, 1.0, 1.0, 0.8][number % 4],
            seed=number,
            mirostat=2 if number % 4 == 2 else 0,
            repeat_penalty=1.2 if number % 4 == 3 else 1.0,
        )
        for number in range(count)
    ]


def test_streams_go_on_when_the_process_that_makes_them_dies(tiny_models: TinyModels) -> None:
    async def test(engine: RemoteEngine, replicas: LocalReplicas) -> None:
        wanted = mixed(8)
        calm = [text_of(found) for found in await asyncio.gather(*(collect(engine, item) for item in wanted))]
        streams = [asyncio.create_task(collect(engine, item)) for item in wanted]
        await until(lambda: len(replicas.served) == 16)
        victim = replicas.served[-1][1]
        await until(lambda: replicas.engines[victim].stats().num_running > 2)
        pid = replicas.engines[victim].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        found = await asyncio.gather(*streams)
        assert [text_of(outputs) for outputs in found] == calm
        assert [outputs[-1].num_completion_tokens for outputs in found] == [200] * 8
        assert all(sum(o.finish_reason is not None for o in outputs) == 1 for outputs in found)
        # Some were begun twice.
        assert len(replicas.served) > 16
        await until(lambda: replicas.engines[victim].is_ready)

    run(test, tiny_models["llama"])


def test_a_single_engine_goes_on_by_itself_when_it_is_back(tiny_models: TinyModels) -> None:
    async def test(engine: RemoteEngine, replicas: LocalReplicas) -> None:
        (wanted,) = mixed(1)
        calm = text_of(await collect(engine, wanted))
        async with aclosing(engine.generate(wanted)) as outputs:
            told = [await anext(outputs)]
            pid = replicas.engines["r0"].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            told += [output async for output in outputs]
        assert text_of(told) == calm

    run(test, tiny_models["llama"], count=1)


async def lose_the_second(outputs: AsyncGenerator[TokenOutput, None], replicas: LocalReplicas) -> None:
    async for _ in outputs:
        if len(replicas.served) == 2:
            replicas.dead = {replicas.served[-1][1]}


async def who_loses_two_replicas_is_told_so(engine: RemoteEngine, replicas: LocalReplicas) -> None:
    (wanted,) = mixed(1)
    async with aclosing(engine.generate(wanted)) as outputs:
        await anext(outputs)
        replicas.dead.add(replicas.served[-1][1])
        with pytest.raises(EngineFailedError, match="two engines"):
            await lose_the_second(outputs, replicas)


def has_all(replicas: LocalReplicas, route: Route, name: str) -> bool:
    return replicas.index.num_uncached(route, name) < 64


async def conversations_stay_where_their_beginnings_are(
    engine: RemoteEngine, replicas: LocalReplicas
) -> None:
    num_computed = 0
    for turn in range(1, 4):
        for number in range(4):
            token_ids = [(7 * number + place) % 200 + 3 for place in range(turn * 150)]
            outputs = await collect(engine, request(f"{number} {turn}", token_ids, max_tokens=2))
            num_computed += len(token_ids) - outputs[-1].num_cached_tokens
            told = Route("next", len(token_ids), engine.route(request("next", token_ids)).block_hashes)
            await until(partial(has_all, replicas, told, replicas.served[-1][1]))
    places = [{name for item, name in replicas.served if item[0] == str(number)} for number in range(4)]
    assert all(len(names) == 1 for names in places)
    assert set.union(*places) == {"r0", "r1"}
    # All that is new, and no more: 150 tokens a turn.
    assert num_computed <= 4 * 3 * 150 + 12


async def more_choices_than_fit_are_refused_before_anything_is_sent(
    engine: RemoteEngine, replicas: LocalReplicas
) -> None:
    with pytest.raises(InvalidRequestError, match="at most"):
        engine.check_room("a", 1.0, engine.num_places + 1)
    engine.check_room("a", 1.0, engine.num_places)
    assert engine.end_thoughts("nobody", "a") is None
    assert engine.is_ready
    assert engine.context_size == 4096
    assert replicas.served == []


async def vectors_come_once_each_when_a_replica_is_lost(
    engine: RemoteEngine, replicas: LocalReplicas
) -> None:
    inputs = tuple(tuple(range(3, 40 + number)) for number in range(6))
    asked = EmbedRequest(id="e", inputs=inputs, pooling=Pooling.MEAN)
    whole = {output.index: output.vector async for output in engine.embed(asked)}
    assert len(whole) == 6
    # Nobody has told the router of it yet.
    again = replace(asked, id="again")
    replicas.dying.add(replicas.index.ranked(Route("again", 1), replicas.hosts.keys())[0])
    found = [(output.index, output.vector) async for output in engine.embed(again)]
    assert dict(found) == whole
    assert len(found) == 6
    assert len({name for request_id, name in replicas.served if request_id == "again"}) == 2


def test_replicas_are_one_engine(tiny_models: TinyModels) -> None:
    """One after the other on the same engines, which take seconds to start."""

    async def test(engine: RemoteEngine, replicas: LocalReplicas) -> None:
        for check in (
            more_choices_than_fit_are_refused_before_anything_is_sent,
            conversations_stay_where_their_beginnings_are,
            vectors_come_once_each_when_a_replica_is_lost,
            who_loses_two_replicas_is_told_so,
        ):
            replicas.served.clear()
            replicas.dead, replicas.dying = set(), set()
            await check(engine, replicas)

    run(test, tiny_models["llama"])
