"""The engine's promises once more, with drafts that are now and then right and often wrong."""

import random
from collections.abc import Callable

import pytest
from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.ngram import NgramProposer
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.params import GenerationRequest

from tests.engine import test_engine, test_invariants_real, test_weights
from tests.engine.drafts.drafted import draft_always
from tests.engine.harness import Driver
from tests.engine.test_invariants_real import Setup, setup

__all__ = ["setup"]

pytestmark = pytest.mark.usefixtures("exact_numbers", "drafts")

OVER_FAKES: dict[str, Callable[[], None]] = {
    "batched": lambda: test_engine.test_batched_equals_alone(1, can_cut=True),
    "whole": lambda: test_engine.test_batched_equals_alone(2, can_cut=False),
    "warm": lambda: test_engine.test_warm_equals_cold(1, can_cut=True),
    "preempted": lambda: test_engine.test_preempted_equals_undisturbed(1, can_cut=True),
    "preempted again": lambda: test_engine.test_preempted_equals_undisturbed(2, can_cut=True),
    "whatever happens": lambda: test_engine.test_every_submission_ends_once_whatever_happens(1),
    "more requests": test_engine.test_more_requests_than_sequences,
    "a full context": test_engine.test_a_full_context_ends_with_length,
    "one that fits alone": test_engine.test_a_request_that_fits_alone_never_fails_because_of_others,
    "weights": lambda: test_weights.test_what_suspect_weights_have_computed_is_computed_again("cut"),
    "weights, short memory": test_weights.test_where_memory_is_short_too,
}
OVER_MODELS: dict[str, Callable[[Setup], None]] = {
    "batched": lambda setup: test_invariants_real.test_batched_equals_alone(setup, "llama", 1),
    "warm": lambda setup: test_invariants_real.test_warm_equals_cold(setup, "llama", 2),
    "preempted": lambda setup: test_invariants_real.test_preempted_equals_undisturbed(setup, "qwen2", 5),
    "stress": lambda setup: test_invariants_real.test_stress(setup, "llama"),
}


class Guesser:
    """Proposes at random, of tokens that are likely to come at all."""

    def __init__(self) -> None:
        self._rng = random.Random(0)

    @property
    def source(self) -> DraftSource:
        return DraftSource.NGRAM

    def propose(self, _token_ids: list[int], most: int) -> list[int]:
        return [self._rng.randrange(256) for _ in range(self._rng.randrange(most + 1))]


@pytest.fixture
def drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine drafts, whatever that costs."""

    def chain(_driver: Driver, _request: GenerationRequest) -> ProposerChain:
        return ProposerChain([NgramProposer(), Guesser()])

    draft_always(monkeypatch)
    monkeypatch.setattr(Driver, "usual_max_drafted", 6)
    monkeypatch.setattr(Driver, "usual_chain", chain)


@pytest.mark.parametrize("promise", OVER_FAKES)
def test_over_fakes(promise: str) -> None:
    OVER_FAKES[promise]()


@pytest.mark.parametrize("promise", OVER_MODELS)
def test_over_models(setup: Setup, promise: str) -> None:
    OVER_MODELS[promise](setup)
