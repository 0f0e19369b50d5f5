"""A request's run: closed at any moment, it leaves nothing behind in the engine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

import pytest
from caravan.api.context import RequestContext
from caravan.api.output.answer_format import Envelope
from caravan.api.output.completion_format import CompletionFormat
from caravan.api.params.decoding_plan import DecodingPlan
from caravan.api.prepared import Prepared, generation_requests
from caravan.api.run import Run
from caravan.auth.principal import ANONYMOUS
from caravan.engine.outputs import TokenOutput
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.errors import EngineFailedError
from caravan.models.loaded_model import LoadedModel
from caravan_schemas.completions import CompletionRequest

from tests.fakes_web import ScriptedEngine, loaded_model, registry_over
from tests.waiting import PATIENCE, until

PROMPTS = [(1, 2), (3,), (4, 5, 6)]
prompt_counts = pytest.mark.parametrize("num_prompts", [1, 3])


@contextlib.asynccontextmanager
async def running(engine: ScriptedEngine, num_prompts: int, *, n: int = 2) -> AsyncIterator[Run]:
    plan = DecodingPlan(params=SamplingParams(), num_choices=n, num_drawn=n)
    request = CompletionRequest(model="fake", prompt="unread")
    envelope = Envelope(id="id", created=0, model="fake", fingerprint="")

    async def prepare(model: LoadedModel) -> Prepared:
        requests = generation_requests(request, PROMPTS[:num_prompts], plan, model, "id", ANONYMOUS)
        return Prepared(requests=requests, plan=plan, format=CompletionFormat(envelope))

    registry = registry_over(loaded_model(engine))
    await registry.start()
    async with Run(registry, "fake", prepare, RequestContext()) as made:
        yield made
    await registry.unload("fake", ANONYMOUS)
    assert engine.closed, "the model was let go"


def run(test: Coroutine[object, object, None]) -> None:
    """A deadline turns a hang into a failure."""
    asyncio.run(asyncio.wait_for(test, PATIENCE))


@prompt_counts
@pytest.mark.parametrize("is_prepared", [False, True])
def test_closed_before_it_was_started_it_never_reaches_the_engine(
    num_prompts: int, *, is_prepared: bool
) -> None:
    engine = ScriptedEngine()

    async def test() -> None:
        async with running(engine, num_prompts) as made:
            if is_prepared:
                await made.prepare()

    run(test())
    assert not engine.requests


@prompt_counts
@pytest.mark.parametrize("hold_after", [0, 1])
def test_closed_after_it_was_started(num_prompts: int, hold_after: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = hold_after

    async def test() -> None:
        async with running(engine, num_prompts) as made:
            await made.start(0.01)
            await until(lambda: len(engine.running) == num_prompts)

    run(test())
    assert len(engine.aborted) == len(engine.requests) == num_prompts


@prompt_counts
def test_closed_in_the_middle(num_prompts: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = 2

    async def test() -> None:
        async with running(engine, num_prompts) as made:
            await made.prepare()
            await anext(made)
            await made.aclose()

    run(test())
    assert len(engine.aborted) == num_prompts


@prompt_counts
def test_cancelled_while_it_waits(num_prompts: int) -> None:
    engine = ScriptedEngine()
    engine.hold_after = 0

    async def test() -> None:
        async with running(engine, num_prompts) as made:
            await made.start(0.01)
            reading = asyncio.create_task(anext(made))
            await until(lambda: len(engine.running) == num_prompts)
            await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

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
        async with running(engine, 3) as made:
            await made.prepare()
            with pytest.raises(EngineFailedError, match="this one"):
                [_ async for _ in made]

    run(test())
    assert not engine.running
    assert len(engine.requests) == 3


@prompt_counts
@pytest.mark.parametrize("n", [1, 2])
def test_started_or_not_it_gives_the_same_outputs(num_prompts: int, n: int) -> None:
    async def collected(*, is_started: bool) -> list[tuple[int, str]]:
        async with running(ScriptedEngine(), num_prompts, n=n) as made:
            await (made.start(PATIENCE) if is_started else made.prepare())
            return [(output.index, output.text) async for output in made]

    async def test() -> None:
        outputs = await collected(is_started=True)
        assert sorted(outputs) == sorted(await collected(is_started=False))
        assert {index for index, _ in outputs} == set(range(num_prompts * n))

    run(test())
