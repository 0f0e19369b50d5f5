"""A panic in Rust is no Exception: it must cost one request an error, and no other request anything."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from caravan.engine.constraints.mask_prefetcher import MaskPrefetcher
from caravan.engine.constraints.token_mask import MaskFactory
from caravan.engine.engine import Engine
from caravan.engine.outputs import FinishReason
from caravan.engine.params import GenerationRequest
from caravan.engine.sampling.candidates import Floats
from caravan.engine.sampling.sampler import Sampler
from caravan.grammars.compiler import GrammarCompiler

from tests.engine.harness import Harness, request
from tests.fakes import FakeContext, FakeVocab
from tests.panicking import TOO_LONG, panic
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("either_attention")

LETTERS = GrammarCompiler().from_regex("(ab|cd|efg?)+z")
OTHERS = [request("a", range(40), max_tokens=12), request("b", range(3, 30), max_tokens=12)]


class LongVocab(FakeVocab):
    """One token that is longer than llguidance takes."""

    def token_bytes(self, token_id: int) -> bytes:
        return b"a" * TOO_LONG if token_id == 7 else super().token_bytes(token_id)


def constrained(name: str) -> GenerationRequest:
    item = request(name, range(20), max_tokens=12)
    return GenerationRequest(id=name, token_ids=item.token_ids, params=item.params, constraint=LETTERS)


def run(engine: Harness, items: list[GenerationRequest]) -> None:
    """Run in a thread of its own, so that a request that is never told is a failure and not a hang."""
    thread = threading.Thread(target=lambda: engine.run(items), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_constraint_that_panics_when_it_is_prepared_ends_its_request() -> None:
    harness = Harness()
    harness.vocab = LongVocab()
    harness.engine = Engine(
        harness.context, harness.vocab, harness.engine._config, harness.publish, harness.engine._embedder
    )
    run(harness, [*OTHERS, constrained("c")])
    reasons = harness.reasons()
    assert reasons["c", 0] == [FinishReason.UNSATISFIABLE]
    assert reasons["a", 0] == reasons["b", 0] == [FinishReason.LENGTH]


def test_a_draw_that_panics_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Harness()
    expected = alone.run(OTHERS)
    sample = Sampler.next_tokens

    def failing(self: Sampler, logits: Floats) -> Iterator[int]:
        if self._num_logprobs is not None:
            panic()
        return sample(self, logits)

    monkeypatch.setattr(Sampler, "next_tokens", failing)
    harness = Harness()
    run(harness, [*OTHERS, request("c", range(20), num_logprobs=0)])
    assert harness.reasons()["c", 0] == [FinishReason.ERROR]
    texts = harness.texts()
    assert {key: texts[key] for key in expected} == expected


def test_a_step_that_panics_ends_what_runs_and_the_engine_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    with monkeypatch.context() as patched:
        patched.setattr(FakeContext, "logits", lambda _self: panic())
        run(harness, OTHERS)
    assert harness.reasons()["a", 0] == harness.reasons()["b", 0] == [FinishReason.ERROR]
    run(harness, [request("later", range(9), max_tokens=4)])
    assert harness.reasons()["later", 0] == [FinishReason.LENGTH]


def test_a_mask_that_panics_ahead_of_its_draw_is_nothing_to_others() -> None:
    class Panicking:
        def prepare(self) -> None:
            panic()

        def wait_for(self, preparing: object) -> None:
            """It does not."""

    vocab = FakeVocab()
    (mask,) = MaskFactory(vocab.size, vocab).make(LETTERS, 1)
    foresight = MaskPrefetcher()
    foresight.prepare([Panicking(), mask])  # type: ignore[list-item]
    row = np.zeros(vocab.size, np.float32)
    mask.forbid(row)
    assert np.isfinite(row).any()
    foresight.close()
