"""Rows drawn on several threads come out as one by one."""

import pytest
from caravan.engine.outputs import FinishReason
from caravan.engine.sampling.candidates import Floats
from caravan.engine.sampling.sampler import Sampler

from tests.engine.guided import Scripted, guided, thoughts
from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


@pytest.mark.parametrize("num_threads", [2, 3])
def test_texts_are_the_same_on_any_number_of_threads(num_threads: int) -> None:
    requests = mixed_requests(5, 30)
    alone = Harness().run(requests)
    assert Harness(num_sampling_threads=num_threads).run(requests) == alone


def test_a_draw_that_fails_costs_its_own_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Sampler.sample

    def sample(self: Sampler, logits: Floats) -> int:
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


def test_rows_that_may_not_be_drawn_ahead_are_drawn_all_the_same() -> None:
    nothing, thinking = request("nothing", range(9), max_tokens=0), guided(reasoning=thoughts(budget=2))
    harness = Scripted("11", "22", num_sampling_threads=4)
    alone = Scripted("11", "22").answer(thinking)
    harness.run([nothing, thinking])
    assert harness.texts()["r", 0] == alone[0]
    assert harness.reasons()["nothing", 0] == [FinishReason.LENGTH]
