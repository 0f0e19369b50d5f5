"""Owners beside each other in one engine: what each has of it, and that nobody's text depends on that."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from caravan.engine.embedding.values import EmbedRequest, Pooling
from caravan.engine.params import GenerationRequest

from tests.conftest import TinyModels
from tests.engine.embedding.test_embedder import Opened, texts
from tests.engine.harness import Harness, Key, mixed_requests, request
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

SEEDS = range(6)


def owned(
    name: str, owner: str, token_ids: Iterable[int], *, priority: int = 0, max_tokens: int = 20
) -> GenerationRequest:
    made = request(name, token_ids, max_tokens=max_tokens)
    return msgspec.structs.replace(made, owner=owner, priority=priority, cache_salt=owner)


def of_several_owners(seed: int, count: int, longest: int = 120) -> list[GenerationRequest]:
    rng = random.Random(seed)
    owners = [("a", 1.0, 0), ("a", 1.0, 0), ("b", 3.0, 0), ("c", 1.0, 2), ("d", 0.5, -2)]
    return [
        msgspec.structs.replace(item, owner=owner, weight=weight, priority=priority, cache_salt=owner)
        for item in mixed_requests(seed, count, longest)
        for owner, weight, priority in [rng.choice(owners)]
    ]


def alone(requests: Iterable[GenerationRequest], end_weight: float | None = None) -> dict[Key, str]:
    made: dict[Key, str] = {}
    for item in requests:
        context = FakeContext() if end_weight is None else FakeContext(end_weight=end_weight)
        made |= Harness(context).run([item])
    return made


def turns_until(harness: Harness, name: str) -> int:
    """How many turns the engine takes to say something for a request."""
    for turn in range(1000):
        if any(output.request_id == name and output.num_completion_tokens for output in harness.outputs):
            return turn
        harness.engine.turn()
    raise AssertionError(f"{name} says nothing")


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_batched_equals_alone_whoever_owns_it(seed: int, can_cut: bool) -> None:
    requests = of_several_owners(seed, 30)
    harness = Harness(FakeContext(can_cut=can_cut), max_running=4)
    assert harness.run(requests) == alone(requests)


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_makes_way_goes_on_as_if_nothing_had_been(seed: int, can_cut: bool) -> None:
    requests = of_several_owners(seed, 24, longest=40)
    context = FakeContext(num_cells=160, can_cut=can_cut, end_weight=0.0)
    harness = Harness(context, context_size=160, max_running=5)
    pending = list(requests)

    def arrive(_turn: int) -> None:
        if pending:
            harness.engine.submit(pending.pop())

    assert harness.finish(arrive) == alone(requests, end_weight=0.0)
    assert harness.engine.stats().num_preemptions > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_submission_ends_once_whoever_owns_it(seed: int) -> None:
    rng = random.Random(seed)
    requests = of_several_owners(seed, 40)
    context = FakeContext(num_cells=300, max_sequences=6)
    harness = Harness(context, context_size=300, max_running=4)
    pending = list(requests)

    def disturb(_turn: int) -> None:
        for _ in range(rng.randrange(3) or harness.engine.is_idle):
            if pending:
                harness.engine.submit(pending.pop())
        if rng.random() < 0.3:
            harness.engine.abort(rng.choice(requests).id)
        context.fail_next = rng.random() < 0.02

    harness.finish(disturb)
    assert not pending
    assert harness.reasons().keys() == {(item.id, index) for item in requests for index in range(item.n)}
    assert all(len(reasons) == 1 for reasons in harness.reasons().values())


def test_a_full_machine_makes_way_for_who_has_less() -> None:
    harness = Harness(FakeContext(end_weight=0.0), max_running=4)
    streams = [owned(f"a{n}", "a", range(n * 9, n * 9 + 8), max_tokens=300) for n in range(9)]
    for item in streams:
        harness.engine.submit(item)
    for _ in range(10):
        harness.engine.turn()
    modest = [owned(f"b{n}", "b", range(100 + n * 9, 108 + n * 9), max_tokens=40) for n in range(3)]
    for item in modest:
        harness.engine.submit(item)
    assert turns_until(harness, "b0") <= 4
    assert turns_until(harness, "b1") <= 2
    # Two of four places are its share.
    assert harness.engine.stats().num_preemptions == 2
    first = harness.finish()
    assert first == alone([*streams, *modest], end_weight=0.0)


def test_a_priority_is_not_overruled_by_shares() -> None:
    harness = Harness(FakeContext(end_weight=0.0), max_running=4)
    for number in range(4):
        harness.engine.submit(owned(f"a{number}", "a", range(number * 9, number * 9 + 8), priority=1))
    for _ in range(4):
        harness.engine.turn()
    harness.engine.submit(owned("b", "b", range(100, 108)))
    assert turns_until(harness, "b") > 10
    harness.finish()
    assert harness.engine.stats().num_preemptions == 0


def test_memory_is_shared_as_places_are() -> None:
    harness = Harness(FakeContext(num_cells=200, end_weight=0.0), context_size=200, max_running=8)
    for number in range(4):
        harness.engine.submit(owned(f"a{number}", "a", [number] * 35, max_tokens=100))
    for _ in range(8):
        harness.engine.turn()
    harness.engine.submit(owned("b", "b", range(100, 160), max_tokens=5))
    assert turns_until(harness, "b") <= 6
    harness.finish()


def test_nobody_is_preempted_in_vain() -> None:
    """One owner is over its share by little; what it could give up would not be enough for the other."""
    context = FakeContext(num_cells=200, end_weight=0.0)
    harness = Harness(context, batch_size=32, context_size=200, max_running=8)
    for number, length in enumerate((90, 20)):
        harness.engine.submit(owned(f"a{number}", "a", [number] * length, max_tokens=40))
        harness.engine.turn()
    harness.engine.submit(owned("b", "b", range(100, 198), max_tokens=5))
    for _ in range(10):
        harness.engine.turn()
    assert harness.engine.stats().num_preemptions == 0
    harness.finish()
    assert len(harness.texts()["b", 0]) > 0


def test_a_prompt_without_room_holds_up_nobody_elses() -> None:
    harness = Harness(FakeContext(num_cells=200, end_weight=0.0), context_size=200, max_running=8)
    harness.engine.submit(owned("a0", "a", [1] * 80, max_tokens=60))
    for _ in range(5):
        harness.engine.turn()
    harness.engine.submit(owned("a1", "a", [2] * 150, max_tokens=5))
    harness.engine.turn()
    harness.engine.submit(owned("b", "b", range(100, 120), max_tokens=5))
    assert turns_until(harness, "b") <= 3
    harness.finish()


def test_a_long_prompt_is_not_behind_the_shorter_ones_of_another() -> None:
    """One owner always has shorter prompts to compute; the other's gets half of each batch all the same."""
    harness = Harness(FakeContext(num_cells=4096), batch_size=32, context_size=512, max_running=16)
    count = 0

    def flood() -> None:
        nonlocal count
        for _ in range(2):
            harness.engine.submit(owned(f"a{count}", "a", [count % 250] * 30, max_tokens=1))
            count += 1

    for _ in range(10):
        flood()
        harness.engine.turn()
    harness.engine.submit(owned("b", "b", [251] * 320, max_tokens=1))
    turns = 0
    while not any(output.request_id == "b" for output in harness.outputs):
        flood()
        harness.engine.turn()
        turns += 1
        assert turns < 100
    # By itself it takes ten batches.
    assert turns <= 24
    for number in range(count):
        harness.engine.abort(f"a{number}")
    harness.finish()


@pytest.mark.parametrize("num_sequences", [4, 16])
def test_a_flood_does_not_push_out_anothers_prefix(num_sequences: int) -> None:
    context = FakeContext(num_cells=512, max_sequences=num_sequences)
    harness = Harness(context, context_size=512, max_running=2)
    system = list(range(100))
    harness.run([owned("b0", "b", [*system, 1], max_tokens=1)])
    for number in range(30):
        harness.run([owned(f"a{number}", "a", [(number + step) % 256 for step in range(90)], max_tokens=1)])
    before = harness.engine.stats().num_cached_tokens
    harness.run([owned("b1", "b", [*system, 2], max_tokens=1)])
    assert harness.engine.stats().num_cached_tokens - before >= 100


def test_embeddings_take_turns_by_owner(tiny_models: TinyModels) -> None:
    with Opened(tiny_models["llama"]) as opened:
        for number in range(20):
            inputs = texts(number, *[100] * 10)
            opened.embedder.add(EmbedRequest(id=f"a{number}", inputs=inputs, pooling=Pooling.MEAN, owner="a"))
        opened.embedder.step(is_beside=False)
        opened.embedder.add(EmbedRequest(id="b", inputs=texts(99, 100, 100), pooling=Pooling.MEAN, owner="b"))
        while sum(output.request_id == "b" for output in opened.outputs) < 2:
            opened.embedder.step(is_beside=False)
        assert len(opened.outputs) < 60
        for number in range(20):
            opened.embedder.abort(f"a{number}")
        assert not opened.embedder.has_work


def test_embeddings_take_turns_by_priority_and_the_lowest_has_every_ninth(tiny_models: TinyModels) -> None:
    """One text at a time, of the longest that there may be; within one owner and between two."""
    with Opened(tiny_models["llama"]) as opened:
        for name, owner, priority, count in (("low", "a", -2, 2), ("usual", "a", 0, 8), ("high", "b", 3, 6)):
            inputs = texts(count, *[640] * count)
            opened.embedder.add(
                EmbedRequest(id=name, inputs=inputs, pooling=Pooling.MEAN, owner=owner, priority=priority)
            )
        while opened.embedder.has_work:
            opened.embedder.step(is_beside=False)
    order = [output.request_id for output in opened.outputs]
    assert order == [*["high"] * 6, *["usual"] * 2, "low", *["usual"] * 6, "low"]
