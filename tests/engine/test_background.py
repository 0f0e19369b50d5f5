"""Background work in the engine: done where nobody waits, in nobody's way, and with the same text as ever."""

import random
from collections.abc import Callable, Iterable

import msgspec
import pytest
from caravan.engine.embedding.values import EmbedRequest, Pooling
from caravan.engine.outputs import FinishReason
from caravan.engine.params import BACKGROUND_PRIORITY, GenerationRequest
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus

from tests.conftest import TinyModels
from tests.engine.embedding.test_embedder import Opened, texts
from tests.engine.harness import Harness, mixed_requests, request
from tests.engine.real_harness import RealHarness
from tests.engine.test_shares import alone
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


def beneath(item: GenerationRequest, owner: str = "") -> GenerationRequest:
    """The same as work in the background."""
    return msgspec.structs.replace(item, priority=BACKGROUND_PRIORITY, owner=owner)


def turns_to_end(harness: Harness, names: Iterable[str]) -> int:
    """How many turns the engine takes until all of these have ended."""
    left = set(names)
    for turn in range(10_000):
        left -= {output.request_id for output in harness.outputs if output.finish_reason is not None}
        if not left:
            return turn
        harness.engine.turn()
    raise AssertionError(f"{left} do not end")


def num_drawn(harness: Harness, name: str) -> int:
    return max((o.num_completion_tokens for o in harness.outputs if o.request_id == name), default=0)


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_its_text_is_what_it_is_alone_whatever_comes_between(seed: int, can_cut: bool) -> None:
    rng = random.Random(seed)
    requests = [
        beneath(item) if rng.random() < 0.6 else item for item in mixed_requests(seed, 30, longest=40)
    ]
    context = FakeContext(num_cells=160, can_cut=can_cut, end_weight=0.0)
    harness = Harness(context, context_size=160, max_running=5)
    pending = list(requests)

    def arrive(turn: int) -> None:
        if pending and (turn % 7 == 0 or harness.engine.is_idle):
            harness.engine.submit(pending.pop())

    assert harness.finish(arrive) == alone(requests, end_weight=0.0)
    assert all(len(reasons) == 1 for reasons in harness.reasons().values())


def test_a_request_takes_as_many_steps_as_without_it() -> None:
    live = [request(f"live{number}", [200 + number] * 40, max_tokens=30) for number in range(3)]

    def turns(num_beneath: int) -> int:
        harness = Harness(FakeContext(end_weight=0.0), max_running=4)
        for number in range(num_beneath):
            harness.engine.submit(beneath(request(f"b{number}", [number] * 50, max_tokens=200)))
        for _ in range(20):
            if num_beneath:
                harness.engine.turn()
        for item in live:
            harness.engine.submit(item)
        return turns_to_end(harness, [item.id for item in live])

    assert turns(8) <= turns(0) + 1


class Interrupted(FakeContext):
    """Somebody comes in the middle of a step of background work, now and then."""

    come: Callable[[], None]

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        if unless is not None:
            self.come()
        return super().decode(batch, unless)


@pytest.mark.parametrize("kind", ["cut", "whole", "window"])
def test_a_step_of_it_is_given_up_for_whoever_comes(kind: str) -> None:
    items = mixed_requests(7, 30, longest=40)
    beneath_all, live = [beneath(item) for item in items[:20]], items[20:]
    context = Interrupted(
        can_cut=kind != "whole", sliding_window=4096 if kind == "window" else 0, end_weight=0.0
    )
    harness = Harness(context, context_size=160, max_running=5)
    context.come = lambda: harness.engine.submit(live.pop()) if live else None
    for item in beneath_all:
        harness.engine.submit(item)
    expected = alone(items if kind == "cut" else beneath_all, end_weight=0.0)
    assert harness.finish() == expected
    assert context.num_stopped == (10 if kind == "cut" else 0)
    assert all(len(reasons) == 1 for reasons in harness.reasons().values())


def test_it_stands_still_beside_others_and_goes_on_where_it_was() -> None:
    harness = Harness(FakeContext(end_weight=0.0), max_running=4)
    harness.engine.submit(beneath(request("b", [1, 2, 3], max_tokens=100)))
    for _ in range(10):
        harness.engine.turn()
    before = num_drawn(harness, "b")
    assert before > 0
    harness.engine.submit(request("live", [7, 8, 9], max_tokens=30))
    turns_to_end(harness, ["live"])
    assert num_drawn(harness, "b") <= before + 1
    harness.finish()
    assert num_drawn(harness, "b") == 100
    assert harness.engine.stats().num_preemptions == 0, "there was room for both"


def test_it_gives_up_its_places_and_its_cells() -> None:
    harness = Harness(FakeContext(num_cells=128, end_weight=0.0), context_size=128, max_running=2)
    for number in range(2):
        harness.engine.submit(beneath(request(f"b{number}", [number] * 40, max_tokens=60)))
    for _ in range(10):
        harness.engine.turn()
    harness.engine.submit(request("live", [7] * 100, max_tokens=20))
    assert turns_to_end(harness, ["live"]) < 40
    harness.finish()
    assert harness.engine.stats().num_preemptions >= 2
    assert set(map(tuple, harness.reasons().values())) == {(FinishReason.LENGTH,)}


def test_nobody_waits_for_a_prefix_that_it_stands_still_with() -> None:
    stem = list(range(200))
    harness = Harness(FakeContext(end_weight=0.0), max_running=4, batch_size=16)
    harness.engine.submit(beneath(request("b", stem, max_tokens=10)))
    harness.engine.turn()
    harness.engine.submit(request("live", [*stem, 1], max_tokens=10))
    turns_to_end(harness, ["live"])
    harness.finish()


def test_it_has_none_of_the_turns_of_lower_priorities() -> None:
    """Of those that wait, every ninth turn is a lower priority's; work in the background has none of them."""
    harness = Harness(FakeContext(end_weight=0.0), max_running=1)
    harness.engine.submit(beneath(request("b", [1], max_tokens=1)))
    for number in range(30):
        harness.engine.submit(request(f"live{number}", [2, number], max_tokens=1))
    turns_to_end(harness, [f"live{number}" for number in range(30)])
    assert num_drawn(harness, "b") == 0
    harness.finish()
    assert num_drawn(harness, "b") == 1


def test_it_costs_its_owner_no_turn() -> None:
    """What an owner has had of the background, their requests do not pay for."""

    def order(*, has_background: bool) -> list[str]:
        harness = Harness(FakeContext(end_weight=0.0), max_running=1)
        if has_background:
            harness.run(
                [
                    beneath(request(f"b{number}", [number] * 60, max_tokens=30), owner="a")
                    for number in range(9)
                ]
            )
        harness.engine.submit(request("first", [1] * 20, max_tokens=5))
        harness.engine.turn()
        for owner in ("a", "c"):
            for number in range(3):
                item = request(f"{owner}{number}", [number] * 10, max_tokens=5)
                harness.engine.submit(msgspec.structs.replace(item, owner=owner))
        harness.finish()
        ends = [o.request_id for o in harness.outputs if o.finish_reason is not None]
        return [name for name in ends if not name.startswith("b")]

    assert order(has_background=True) == order(has_background=False)


def test_it_may_wait_longer_than_the_queue_allows() -> None:
    harness = Harness(FakeContext(end_weight=0.0), max_running=1, queue_seconds=1e-9)
    harness.engine.submit(request("live", [1, 2], max_tokens=20))
    harness.engine.turn()
    harness.engine.submit(beneath(request("b", [3, 4], max_tokens=3)))
    harness.finish()
    assert harness.reasons()["b", 0] == [FinishReason.LENGTH]


def test_vectors_of_the_background_give_way(tiny_models: TinyModels) -> None:
    with Opened(tiny_models["llama"]) as opened:
        long, short = texts(1, *[600] * 3), texts(2, 100, 600)
        expected = opened.vectors(long, name="alone")
        opened.outputs.clear()
        opened.embedder.add(
            EmbedRequest(id="b", inputs=long, pooling=Pooling.MEAN, priority=BACKGROUND_PRIORITY)
        )
        opened.embedder.step(is_beside=False)
        opened.embedder.add(EmbedRequest(id="live", inputs=short, pooling=Pooling.MEAN))
        while sum(output.request_id == "live" for output in opened.outputs) < len(short):
            opened.embedder.step(is_beside=False)
        assert [output.request_id for output in opened.outputs] == ["live"] * len(short)
        opened.embedder.step(is_beside=True, has_live_beside=True)
        assert len(opened.outputs) == len(short), "there is somebody beside"
        while opened.embedder.has_work:
            opened.embedder.step(is_beside=False)
        found = {output.index: output.vector for output in opened.outputs if output.request_id == "b"}
        assert [found[index] for index in range(3)] == [vector.astype("<f4").tobytes() for vector in expected]


def test_vectors_in_the_background_wait_for_whoever_has_just_come(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = RealHarness(tiny_models["llama"])
    inputs = tuple((number, 1, 2, 3) for number in range(8))
    vectors = EmbedRequest(id="v", inputs=inputs, pooling=Pooling.MEAN, priority=BACKGROUND_PRIORITY)
    decode = harness.context.decode

    def come(batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        harness.engine.submit(request("live", [7, 8, 9], max_tokens=2))
        monkeypatch.setattr(harness.context, "decode", decode)
        return decode(batch, unless)

    monkeypatch.setattr(harness.context, "decode", come)
    harness.engine.submit(beneath(request("b", range(50), max_tokens=5)))
    harness.engine.embed(vectors)
    harness.engine.turn()
    assert harness.vectors == []
    harness.finish()
    assert len(harness.vectors) == 8
    harness.close()
