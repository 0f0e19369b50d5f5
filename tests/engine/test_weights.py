"""Weights that are written to in the middle of steps: no text is made of what they were meanwhile."""

import random
import threading
from collections.abc import Callable

import pytest
from caravan.engine.outputs import FinishReason
from caravan.llama.batch import Batch
from caravan.llama.context import DecodeStatus
from caravan.llama.model_file import CHANGED, Weights, WeightsChangedError

from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import FakeContext
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("either_attention")


class ShakenContext(FakeContext):
    """Computes nonsense now and then, as with weights that are others for a moment, and knows when it did."""

    rng = random.Random(0)
    is_shaken = False
    num_shaken = 0

    def decode(self, batch: Batch, unless: Callable[[], bool] | None = None) -> DecodeStatus:
        self.is_shaken = self.rng.random() < 0.3
        self.num_shaken += self.is_shaken
        if self.is_shaken:
            batch.token_ids[: batch.num_tokens] ^= 1
        return super().decode(batch, unless)

    def look(self) -> Weights:
        return Weights.SUSPECT if self.is_shaken else Weights.SOUND


@pytest.mark.parametrize("kind", ["cut", "whole", "window"])
def test_what_suspect_weights_have_computed_is_computed_again(kind: str) -> None:
    can_cut, window = kind != "whole", 4096 if kind == "window" else 0
    items = mixed_requests(3, 30)
    expected = Harness(FakeContext(can_cut=can_cut, sliding_window=window)).run(items)
    context = ShakenContext(can_cut=can_cut, sliding_window=window)
    harness = Harness(context, look_at_weights=context.look)
    assert harness.run(items) == expected
    assert context.num_shaken > 20
    assert all(len(reasons) == 1 for reasons in harness.reasons().values())


def test_where_memory_is_short_too() -> None:
    items = mixed_requests(5, 20)
    expected = Harness(FakeContext()).run(items)
    context = ShakenContext(num_cells=300)
    harness = Harness(context, look_at_weights=context.look)
    assert harness.run(items) == expected


def test_weights_that_changed_end_all_with_an_error_and_the_engine() -> None:
    context = FakeContext()

    def look() -> Weights:
        if context.num_decoded > 100:
            raise WeightsChangedError
        return Weights.SOUND

    harness = Harness(context, max_running=2, look_at_weights=look)
    for name in "abcd":
        harness.engine.submit(request(name, range(20), max_tokens=200))
    raised = list[type[BaseException]]()

    def run() -> None:
        try:
            harness.engine.run()
        except WeightsChangedError as error:
            raised.append(type(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert raised == [WeightsChangedError]
    ends = [output for output in harness.outputs if output.finish_reason is not None]
    assert sorted(output.request_id for output in ends) == list("abcd")
    assert {(output.finish_reason, output.error) for output in ends} == {(FinishReason.ERROR, CHANGED)}
