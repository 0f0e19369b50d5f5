"""Log probabilities of prompts that are known already come in slices, with bounded news in each step."""

import asyncio
from collections.abc import Callable

import pytest
from caravan.engine import sequence, work
from caravan.engine.ipc.output_queue import OutputQueue
from caravan.engine.outputs import EngineStats, FinishReason, TokenLogprob, TokenOutput, packed_top

from tests.engine.harness import Harness, request
from tests.engine.output.test_prompt_logprobs import check, prompt, scoring
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

_FEW, _MOST = 4, 40


class Watching(Harness):
    """Notes how many log probabilities of prompts each step tells, and to whom it tells other news."""

    def publish(self, outputs: list[TokenOutput], stats: Callable[[], EngineStats]) -> None:
        """What the engine calls once a step."""
        super().publish(outputs, stats)
        self.counts.append(sum(len(output.prompt_logprobs) for output in outputs))
        if any(output.is_slice for output in outputs):
            self.beside += [output.request_id for output in outputs if not output.is_slice]

    def __init__(self, context: FakeContext | None = None, *, max_running: int = 8) -> None:
        self.counts: list[int] = []
        self.beside: list[str] = []
        super().__init__(context, num_scored_rows=8, max_running=max_running)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of small prompts."""
    monkeypatch.setattr(sequence, "FEW_SCORES", _FEW)
    monkeypatch.setattr(work, "FEW_SCORES", _FEW)
    monkeypatch.setattr(work, "_MOST_SCORES", _MOST)


def known(count: int, length: int) -> tuple[Watching, list[int]]:
    """An engine that has scored a prompt, which is asked for again and again."""
    harness = Watching(FakeContext(num_cells=4096))
    token_ids = prompt(1, length)
    harness.run([scoring("first", token_ids, max_tokens=1)])
    harness.counts.clear()
    for number in range(count):
        harness.engine.submit(scoring(f"s{number}", token_ids, max_tokens=3))
    return harness, token_ids


def test_many_that_are_known_are_told_in_bounded_steps_with_all_else() -> None:
    alone = Harness().run([request("stream", prompt(2, 20), max_tokens=60)])
    harness, token_ids = known(6, 300)
    harness.engine.submit(request("stream", prompt(2, 20), max_tokens=60))
    texts = harness.finish()
    for number in range(6):
        check(harness, scoring(f"s{number}", token_ids))
    assert sum(harness.counts) == 6 * 299
    assert max(harness.counts) <= _MOST + 8 * _FEW
    assert harness.beside.count("stream") > 15
    assert texts["stream", 0] == alone["stream", 0]
    assert texts["s0", 0] == texts["s5", 0] == Harness().run([request("s", token_ids, max_tokens=3)])["s", 0]


def test_what_a_step_finds_is_told_with_it() -> None:
    harness = Watching(max_running=4)
    wanted = [scoring(f"s{number}", prompt(number, 100), max_tokens=2) for number in range(4)]
    harness.run(wanted)
    for each in wanted:
        check(harness, each)
    assert max(harness.counts) <= 4 * (_FEW + 8)


def test_preempted_ones_go_on_where_they_were() -> None:
    harness = Watching(FakeContext(num_cells=700), max_running=6)
    token_ids = prompt(1, 250)
    harness.run([scoring("first", token_ids, max_tokens=1)])
    wanted = [scoring(f"s{n}", [*token_ids, n], max_tokens=40) for n in range(4)]
    plain = [request(f"p{n}", prompt(30 + n, 100), max_tokens=80) for n in range(4)]
    for pair in zip(wanted, plain, strict=True):
        for each in pair:
            harness.engine.submit(each)
    # Somebody is preempted in every tenth step besides, whoever it is.
    harness.finish(lambda turn: _preempt(harness) if turn % 10 == 5 else None)
    assert harness.engine.stats().num_preemptions > 0
    for each in wanted:
        check(harness, each)


def _preempt(harness: Watching) -> None:
    if len(harness.engine._scheduler.running) > 1:
        harness.engine._scheduler.preempt_one()


def test_one_that_is_aborted_tells_nothing_more() -> None:
    harness, _ = known(2, 300)
    harness.engine.turn()
    harness.engine.turn()
    harness.engine.abort("s0")
    told = len(harness.outputs)
    harness.finish()
    (last,) = [output for output in harness.outputs[told:] if output.request_id == "s0"]
    assert (last.finish_reason, last.is_slice) == (FinishReason.ABORT, False)
    assert sum(len(o.prompt_logprobs) for o in harness.outputs if o.request_id == "s1") == 299


def test_all_end_when_the_engine_stops_between_slices() -> None:
    harness, _ = known(3, 300)
    harness.engine.turn()
    harness.engine.stop()
    harness.engine.run()
    reasons = {key: found for key, found in harness.reasons().items() if key[0] != "first"}
    assert reasons == {(f"s{number}", 0): [FinishReason.ABORT] for number in range(3)}


def entries(count: int) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(place, -place / 3, packed_top((place, 5), (-0.1, -7.3))) for place in range(count)
    )


def news(index: int, count: int, *, is_slice: bool = False, start: int = 0) -> TokenOutput:
    told = entries(start + count)[start:]
    return TokenOutput(request_id="r", index=index, prompt_logprobs=told, is_slice=is_slice)


def test_slices_are_put_together_for_their_choice() -> None:
    async def taken() -> list[TokenOutput]:
        box = OutputQueue(1, num_scores=5)
        taking = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        box.put(news(0, 2, is_slice=True))
        box.put(news(1, 3, is_slice=True))
        await asyncio.sleep(0)
        assert not taking.done()
        box.put(news(0, 2, is_slice=True, start=2))
        for output in (news(0, 1, start=4), news(1, 0), news(0, 0)):
            box.put(output)
        return [item for item in await taking if isinstance(item, TokenOutput)]

    first, short, second = asyncio.run(taken())
    assert first.prompt_logprobs == entries(5)
    # One that ended before all had come has none, and what follows the first output is left as it is.
    assert short.prompt_logprobs == second.prompt_logprobs == ()


def test_the_likeliest_are_cut_and_kept_to_the_last_bit() -> None:
    logprobs = (-0.1, -1e-300, -9999.0)
    entry = TokenLogprob(7, -0.3, packed_top((1, 2**31 - 1, 3), logprobs), rank=9)
    assert (entry.top_ids, entry.top_logprobs, entry.num_top) == ((1, 2**31 - 1, 3), logprobs, 3)
    cut = entry.with_top(2)
    assert (cut.top_ids, cut.top_logprobs, cut.rank) == ((1, 2**31 - 1), logprobs[:2], 9)
    assert entry.with_top(3) is entry.with_top(20) is entry
    assert entry.with_top(0).top == b""
