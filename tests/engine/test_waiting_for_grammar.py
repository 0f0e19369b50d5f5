"""A constrained request has its place in the queue while its masks are made, and memory only afterwards."""

import threading

import pytest
from caravan.engine.constraints.token_mask import ConstraintError, MaskFactory, TokenMask
from caravan.engine.outputs import FinishReason
from caravan.engine.sequence_status import SequenceStatus
from caravan.grammars.compiler import GrammarCompiler
from caravan.grammars.constraint import Constraint
from msgspec.structs import replace

from tests.engine.harness import Harness, request
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("either_attention")

LETTERS = GrammarCompiler().from_regex("[a-z]{3}")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Masks are made once it is set."""
    gate, make = threading.Event(), MaskFactory.make

    def wait(self: MaskFactory, constraint: Constraint, count: int) -> list[TokenMask]:
        assert gate.wait(PATIENCE)
        return make(self, constraint, count)

    monkeypatch.setattr(MaskFactory, "make", wait)
    return gate


def statuses(harness: Harness) -> list[SequenceStatus]:
    return [sequence.status for sequence in harness.engine._scheduler.waiting]


def test_it_waits_in_the_queue_and_computes_nothing(gate: threading.Event) -> None:
    harness = Harness()
    harness.engine.submit(replace(request("bound", range(9), n=2), constraint=LETTERS))
    harness.engine.submit(request("free", range(5)))
    while not harness.reasons():
        harness.engine.turn()
    assert set(harness.reasons()) == {("free", 0)}
    assert statuses(harness) == [SequenceStatus.WAITING_FOR_GRAMMAR] * 2
    assert harness.engine.stats().num_waiting == 2
    assert not harness.engine.is_idle
    gate.set()
    while len(harness.reasons()) < 3:
        harness.engine.turn()
    assert set(harness.reasons()) == {("free", 0), ("bound", 0), ("bound", 1)}


def test_it_is_aborted_there(gate: threading.Event) -> None:
    harness = Harness()
    harness.engine.submit(replace(request("bound", range(9), n=2), constraint=LETTERS))
    harness.engine.abort("bound")
    harness.engine._inbox.take_in()
    harness.engine.step()
    assert harness.reasons() == {("bound", 0): [FinishReason.ABORT], ("bound", 1): [FinishReason.ABORT]}
    gate.set()
    harness.engine._inbox.wait([PATIENCE])()
    assert statuses(harness) == []
    assert harness.engine.is_idle


def test_one_whose_masks_cannot_be_made_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: MaskFactory, _constraint: Constraint, _count: int) -> list[TokenMask]:
        raise ConstraintError("no")

    monkeypatch.setattr(MaskFactory, "make", fail)
    harness = Harness()
    harness.engine.submit(replace(request("bound", range(9)), constraint=LETTERS))
    harness.engine.submit(request("free", range(5)))
    while len(harness.reasons()) < 2:
        harness.engine.turn()
    assert harness.reasons()["bound", 0] == [FinishReason.UNSATISFIABLE]
    assert harness.reasons()["free", 0] == [FinishReason.LENGTH]
