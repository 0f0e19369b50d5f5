"""With llama.cpp's own memory, an answer that was drafted is the same to the last bit."""

import random

import gguf
import pytest
from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.params import GenerationRequest

from tests.conftest import TinyModels
from tests.engine.drafts.drafted import TrueText, draft_always
from tests.engine.exactness import SITUATIONS, Exactness
from tests.engine.harness import Driver

MODELS = [("llama", "F32"), ("llama", "Q8_0")]


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def exactness(request: pytest.FixtureRequest, tiny_models: TinyModels) -> Exactness:
    """What requests answer without drafts."""
    architecture, kind = request.param
    path = tiny_models.quantized(architecture, gguf.GGMLQuantizationType[kind])
    rng = random.Random(6)
    prompts = [[rng.randrange(256) for _ in range(length)] for length in (70, 9)]
    return Exactness(path, prompts, num_tokens=24, num_others=10)


@pytest.fixture(autouse=True)
def drafts(exactness: Exactness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine drafts the true texts, with errors."""
    prompts = {request.id: request.token_ids for request in exactness.requests}
    texts = [
        [*prompts[name], *(entry.token_id for entry in logprobs)]
        for (name, _), (_, logprobs) in exactness.expected.items()
    ]

    def chain(_driver: Driver, _request: GenerationRequest) -> ProposerChain:
        return ProposerChain([TrueText(texts, 0.2, DraftSource.NGRAM)])

    draft_always(monkeypatch)
    monkeypatch.setattr(Driver, "usual_max_drafted", 7)
    monkeypatch.setattr(Driver, "usual_chain", chain)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_same_to_the_last_bit(exactness: Exactness, situation: str) -> None:
    SITUATIONS[situation](exactness)


def test_most_tokens_were_drafted(exactness: Exactness) -> None:
    with exactness.engine() as harness:
        harness.run(exactness.requests)
        exactness.check(harness)
        stats = harness.engine.stats()
    assert stats.num_accepted["ngram"] > stats.num_completion_tokens / 2
    assert stats.num_drafted["ngram"] > stats.num_accepted["ngram"]
