"""Rows drawn on several threads come out as one by one."""

import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.parallel_sampling import ParallelSampler, Row
from caravan.engine.sampling.sampler import Sampler

from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import FakeContext


@pytest.mark.parametrize("num_threads", [2, 3])
def test_texts_are_the_same_on_any_number_of_threads(num_threads: int) -> None:
    requests = mixed_requests(5, 30)
    alone = Harness().run(requests)
    assert Harness(num_sampling_threads=num_threads).run(requests) == alone


def test_a_draw_that_fails_costs_its_own_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Sampler.sample

    def sample(self: Sampler, logits: Row) -> int:
        token_id = original(self, logits)
        if self is broken:
            raise ZeroDivisionError
        return token_id

    harness = Harness(FakeContext(end_weight=0.0), num_sampling_threads=2)
    for number in range(4):
        harness.engine.submit(request(f"r{number}", range(number, number + 9)))
    harness.engine.turn()
    broken = harness.engine._scheduler.running[1].sampler
    monkeypatch.setattr(Sampler, "sample", sample)
    harness.finish()
    reasons = [reason for (reason,) in harness.reasons().values()]
    assert sorted(reasons) == [FinishReason.ERROR] + [FinishReason.LENGTH] * 3


def test_nothing_to_draw_is_nothing() -> None:
    pool = ParallelSampler(4)
    assert pool.draw([]) == {}
    pool.close()
