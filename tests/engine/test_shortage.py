"""An engine that runs out of memory: whoever needed it is told so, and nobody else loses anything."""

import pytest
from caravan.engine.ipc.output_queue import checked
from caravan.engine.outputs import FinishReason
from caravan.engine.sequence_factory import SequenceFactory
from caravan.errors import MemoryShortError
from caravan.llama.context import State

from tests.engine.harness import Harness, mixed_requests, request
from tests.engine.test_panics import constrained
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")


def out_of_memory(*_: object) -> None:
    raise MemoryError


class Crowded(FakeContext):
    """There is no memory to keep idle sequences outside of the cells."""

    num_refused = 0

    def save_sequence(self, seq_id: int) -> State:
        assert self.cells[seq_id]
        self.num_refused += 1
        raise MemoryError


@pytest.mark.parametrize("seed", range(3))
def test_idle_texts_that_cannot_be_kept_are_computed_anew(seed: int) -> None:
    requests = mixed_requests(seed, 40)
    crowded = Crowded(num_cells=600)
    harness = Harness(crowded)
    assert harness.run(requests) == Harness(FakeContext(num_cells=600)).run(requests)
    assert crowded.num_refused
    reasons = {reason for all_of_one in harness.reasons().values() for reason in all_of_one}
    assert reasons <= {FinishReason.STOP, FinishReason.LENGTH}


def test_a_constraint_that_there_is_no_memory_for_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Harness().run([request("a", range(40))])
    harness = Harness()
    monkeypatch.setattr("caravan.engine.constraints.token_mask.has_memory", lambda _num_bytes: False)
    texts = harness.run([request("a", range(40)), constrained("c")])
    assert harness.reasons()["c", 0] == [FinishReason.NO_MEMORY]
    assert texts["a", 0] == alone["a", 0]


def test_a_request_that_there_is_no_memory_for_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    monkeypatch.setattr(SequenceFactory, "_sequence", out_of_memory)
    harness.run([request("a", range(40))])
    (output,) = harness.outputs
    assert output.finish_reason is FinishReason.NO_MEMORY
    with pytest.raises(MemoryShortError) as caught:
        checked(output, request("a", range(40)))
    assert (caught.value.status, caught.value.code) == (503, "insufficient_memory")
    assert caught.value.retry_after
