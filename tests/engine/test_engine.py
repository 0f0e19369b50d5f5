"""The engine's promises, exactly, on a context whose every token depends on all that a sequence can see."""

import itertools
import random

import msgspec
import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, Key, mixed_requests, request
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

SEEDS = range(6)


def alone(requests: list[GenerationRequest]) -> dict[Key, str]:
    """The text of each request on an engine of its own."""
    texts: dict[Key, str] = {}
    for item in requests:
        texts |= Harness().run([item])
    return texts


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_batched_equals_alone(seed: int, can_cut: bool) -> None:
    requests = mixed_requests(seed, 24)
    together = Harness(FakeContext(can_cut=can_cut)).run(requests)
    assert together == alone(requests)
    assert len(set(together.values())) > 10


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_warm_equals_cold(seed: int, can_cut: bool) -> None:
    requests = mixed_requests(seed, 30)
    harness = Harness(FakeContext(can_cut=can_cut))
    for item in requests:
        harness.run([item])
    assert harness.texts() == alone(requests)
    assert harness.engine.stats().num_cached_tokens > 0 or not can_cut


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_preempted_equals_undisturbed(seed: int, can_cut: bool) -> None:
    requests = mixed_requests(seed, 40, longest=40)
    context = FakeContext(num_cells=128, can_cut=can_cut, end_weight=0.0)
    harness = Harness(context, context_size=128, max_running=16)
    calm = Harness(FakeContext(end_weight=0.0)).run(requests)
    assert harness.run(requests) == calm
    assert harness.engine.stats().num_preemptions > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_every_submission_ends_once_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    requests = mixed_requests(seed, 40)
    context = FakeContext(num_cells=300, max_sequences=5)
    harness = Harness(context, context_size=300)
    pending = list(requests)

    def disturb(_turn: int) -> None:
        for _ in range(rng.randrange(3) or harness.engine.is_idle):
            if pending:
                harness.engine.submit(pending.pop())
        if rng.random() < 0.2:
            harness.engine.abort(rng.choice(requests).id)
        context.fail_next = rng.random() < 0.02

    harness.finish(disturb)
    assert not pending
    keys = {(item.id, index) for item in requests for index in range(item.n)}
    assert harness.reasons().keys() == keys
    assert all(len(reasons) == 1 for reasons in harness.reasons().values())


def test_aborts_reach_queue_prompt_and_answer() -> None:
    harness = Harness(FakeContext(end_weight=0.0), max_running=2)
    answer = request("answer", range(10), max_tokens=400)
    prompt = request("prompt", range(100, 250), max_tokens=400)
    queued = request("queued", range(50, 90), max_tokens=400)
    harness.engine.submit(answer)
    for _ in range(3):
        harness.engine.turn()
    harness.engine.submit(prompt)
    harness.engine.submit(queued)
    harness.engine.turn()
    for item in (answer, prompt, queued):
        harness.engine.abort(item.id)
    harness.engine.turn()
    assert harness.engine.is_idle
    assert harness.reasons() == {(name, 0): [FinishReason.ABORT] for name in ("answer", "prompt", "queued")}
    assert harness.engine.audit() == []


def test_a_shared_prefix_is_computed_once_even_when_all_arrive_together() -> None:
    context = FakeContext()
    harness = Harness(context)
    prefix = [i % 251 for i in range(200)]
    requests = [request(f"r{i}", [*prefix, i, i + 1], max_tokens=1) for i in range(8)]
    assert harness.run(requests) == alone(requests)
    # Each newcomer computes its own two tokens and at most the 16 that are not worth waiting for.
    assert context.num_decoded <= 202 + 7 * 18


def test_choices_of_one_prompt_compute_it_once() -> None:
    context = FakeContext()
    harness = Harness(context)
    texts = harness.run([request("r", range(150), n=8, temperature=1.0, seed=5, max_tokens=10)])
    assert len(set(texts.values())) > 1
    assert context.num_decoded <= 150 + 8 * 10


def test_a_salt_keeps_prefixes_apart() -> None:
    harness = Harness()
    harness.run([request("a", range(100), salt="one")])
    harness.run([request("b", range(100), salt="two")])
    assert harness.engine.stats().num_cached_tokens == 0
    harness.run([request("c", range(100), salt="one")])
    assert harness.engine.stats().num_cached_tokens == 99


def partly_public(name: str, token_ids: list[int], salt: str, num_public: int) -> GenerationRequest:
    return msgspec.structs.replace(
        request(name, token_ids, salt=salt, max_tokens=1), num_public_tokens=num_public
    )


def test_what_is_public_is_shared_across_salts_and_no_more() -> None:
    harness, prompt = Harness(), list(range(100))
    harness.run([partly_public("a", prompt, "one", 60)])
    harness.run([partly_public("b", prompt, "two", 60)])
    assert harness.engine.stats().num_cached_tokens == 60
    harness.run([partly_public("c", prompt, "one", 60)])
    assert harness.engine.stats().num_cached_tokens == 60 + 99
    harness.run([partly_public("d", prompt, "three", 0)])
    assert harness.engine.stats().num_cached_tokens == 60 + 99


def test_a_public_prefix_that_arrives_under_many_salts_at_once_is_computed_once() -> None:
    context = FakeContext()
    harness, stem = Harness(context), list(range(200))
    harness.run([partly_public(str(i), [*stem, i], f"key {i}", len(stem)) for i in range(6)])
    assert context.num_decoded < 2 * len(stem)


def test_a_request_that_fits_alone_never_fails_because_of_others() -> None:
    requests = [request(f"r{i}", range(i, i + 100), max_tokens=80) for i in range(12)]
    context = FakeContext(num_cells=200, end_weight=0.0)
    harness = Harness(context, context_size=200, max_running=12)
    harness.run(requests)
    assert set(map(tuple, harness.reasons().values())) == {(FinishReason.LENGTH,)}
    last = [output for output in harness.outputs if output.finish_reason]
    assert [output.num_completion_tokens for output in last] == [80] * 12


def test_a_full_context_ends_with_length() -> None:
    harness = Harness(FakeContext(num_cells=64, end_weight=0.0), context_size=64)
    harness.run([request("r", range(60), max_tokens=None)])
    assert harness.reasons() == {("r", 0): [FinishReason.LENGTH]}
    assert harness.outputs[-1].num_completion_tokens == 4


def test_running_streams_move_on_in_every_step_while_a_long_prompt_comes_in() -> None:
    harness = Harness(FakeContext(end_weight=0.0), batch_size=16)
    harness.engine.submit(request("stream", range(5), max_tokens=100))
    for _ in range(3):
        harness.engine.turn()
    harness.engine.submit(request("long", range(256), max_tokens=1))
    for _ in range(10):
        before = len([o for o in harness.outputs if o.request_id == "stream"])
        harness.engine.turn()
        assert len([o for o in harness.outputs if o.request_id == "stream"]) == before + 1
    harness.finish()


def test_a_failed_decode_costs_the_running_requests_one_error_each_and_spares_the_queue() -> None:
    context = FakeContext(end_weight=0.0)
    harness = Harness(context, max_running=2)
    requests = [request(f"r{i}", range(i, 30)) for i in range(4)]
    for item in requests:
        harness.engine.submit(item)
    harness.engine.turn()
    context.fail_next = True
    harness.finish()
    reasons = [reason for (reason,) in harness.reasons().values()]
    assert sorted(reasons) == ["error", "error", "length", "length"]


def test_steps_that_keep_failing_end_the_engine_after_answering_everybody() -> None:
    class Broken(FakeContext):
        def logits(self) -> object:  # type: ignore[override]
            raise OSError("no logits today")

    harness = Harness(Broken(), max_running=1)
    for i in range(5):
        harness.engine.submit(request(f"r{i}", range(10)))
    with pytest.raises(OSError, match="no logits"):
        harness.engine.run()
    assert [len(reasons) for reasons in harness.reasons().values()] == [1] * 5


def test_a_request_that_the_engine_cannot_take_gets_an_error_of_its_own() -> None:
    harness = Harness()
    good = request("good", range(10))
    harness.run([request("long", [1] * 600), request("bad", [1, 999]), good])
    reasons = harness.reasons()
    assert reasons["long", 0] == reasons["bad", 0] == [FinishReason.ERROR]
    assert reasons["good", 0] != [FinishReason.ERROR]


def test_more_requests_than_sequences() -> None:
    requests = mixed_requests(99, 30)
    assert Harness(FakeContext(max_sequences=2)).run(requests) == alone(requests)


def test_what_arrives_while_the_engine_stops_is_answered() -> None:
    harness = Harness(FakeContext(end_weight=0.0))
    harness.engine.submit(request("before", range(10), max_tokens=400))
    harness.engine.stop()
    harness.engine.submit(request("behind", range(10)))
    harness.engine.run()
    assert harness.reasons() == {(name, 0): [FinishReason.ABORT] for name in ("before", "behind")}
    with pytest.raises(RuntimeError, match="stopped"):
        harness.engine.submit(request("late", range(10)))


def test_time_that_is_up_ends_a_request_in_the_queue_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    harness = Harness(FakeContext(end_weight=0.0), max_running=1)
    running = request("running", range(10), max_tokens=400, max_seconds=50.0)
    queued = request("queued", range(50, 90), max_tokens=400, max_seconds=20.0)
    harness.run([running, queued])
    assert harness.reasons() == {(name, 0): [FinishReason.LENGTH] for name in ("running", "queued")}
    assert 0 < len(harness.texts()["running", 0]) < 400


def test_stop_tokens_end_without_showing() -> None:
    whole = Harness(FakeContext(end_weight=0.0)).run([request("r", range(20), max_tokens=30)])["r", 0]
    stops = tuple(i for i in range(256) if chr(97 + i % 26) == whole[10])
    cut = Harness(FakeContext(end_weight=0.0)).run(
        [request("r", range(20), max_tokens=30, stop_token_ids=stops)]
    )
    assert cut["r", 0] == whole[: whole.index(whole[10])]


def test_min_tokens_holds_off_end_and_stop_strings() -> None:
    context = FakeContext(end_weight=0.0)
    whole = Harness(context).run([request("r", range(20), max_tokens=30)])["r", 0]
    stopped = Harness(FakeContext(end_weight=0.0)).run(
        [request("r", range(20), max_tokens=30, stop=tuple(set(whole)), min_tokens=12)]
    )
    assert stopped["r", 0] == whole[:11]
