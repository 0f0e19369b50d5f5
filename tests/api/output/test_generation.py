"""A request's run: closed at any moment, it leaves nothing behind in the engine."""

import asyncio
from collections.abc import Coroutine

import pytest
from caravan.api.output.generation import Generation
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.errors import EngineFailedError

from tests.fakes_web import ScriptedEngine, loaded_model

PROMPTS = [(1, 2), (3,), (4, 5, 6)]
prompt_counts = pytest.mark.parametrize("num_prompts", [1, 3])


def generation(engine: ScriptedEngine, num_prompts: int, *, n: int = 2) -> Generation:
    return Generation(loaded_model(engine), "id", PROMPTS[:num_prompts], SamplingParams(), n)


def run(test: Coroutine[object, object, None]) -> None:
    """A deadline turns a hang into a failure."""
    asyncio.run(asyncio.wait_for(test, 20))


@prompt_counts
def test_closed_before_it_was_opened_it_never_reaches_the_engine(num_prompts: int) -> None:
    engine = ScriptedEngine()
    run(generation(engine, num_prompts).aclose())
    assert not engine.requests


@prompt_counts
@pytest.mark.parametrize("hold_after", [0, 1])
def test_closed_after_it_was_opened(num_prompts: int, hold_after: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = hold_after

    async def test() -> None:
        running = generation(engine, num_prompts)
        await running.open(0.01)
        await running.aclose()

    run(test())
    assert len(engine.aborted) == len(engine.requests) == num_prompts


@prompt_counts
def test_closed_in_the_middle(num_prompts: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = 2

    async def test() -> None:
        running = generation(engine, num_prompts)
        await anext(running)
        await running.aclose()
        await running.aclose()

    run(test())
    assert len(engine.aborted) == num_prompts


@prompt_counts
def test_cancelled_while_it_waits(num_prompts: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = 0

    async def test() -> None:
        running = generation(engine, num_prompts)
        await running.open(0.01)
        reading = asyncio.create_task(anext(running))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await running.aclose()

    run(test())
    assert len(engine.aborted) == num_prompts


def test_a_failure_of_one_prompt_ends_the_others() -> None:
    class OneFails(ScriptedEngine):
        def _outputs(self, request: GenerationRequest) -> list[TokenOutput]:
            if len(request.token_ids) == 1:
                raise EngineFailedError("this one")
            self.hold_after = 1
            return super()._outputs(request)

    engine = OneFails()

    async def test() -> None:
        running = generation(engine, 3)
        with pytest.raises(EngineFailedError, match="this one"):
            async for _ in running:
                pass
        await running.aclose()

    run(test())
    assert not engine.running
    assert len(engine.requests) == 3


@prompt_counts
@pytest.mark.parametrize("n", [1, 2])
def test_opened_or_not_it_gives_the_same_outputs(num_prompts: int, n: int) -> None:
    async def collected(*, opened: bool) -> list[tuple[int, str]]:
        running = generation(ScriptedEngine(), num_prompts, n=n)
        if opened:
            await running.open(5)
        outputs = [(output.index, output.text) async for output in running]
        await running.aclose()
        return outputs

    async def test() -> None:
        outputs = await collected(opened=True)
        assert sorted(outputs) == sorted(await collected(opened=False))
        assert {index for index, _ in outputs} == set(range(num_prompts * n))

    run(test())
