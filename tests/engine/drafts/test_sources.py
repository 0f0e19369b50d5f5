"""The engine with all that it drafts from by itself: the text, other texts in memory, a draft model."""

import random
from collections.abc import Iterable

import pytest
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.proposers import Proposers
from caravan.engine.kv.continuations import Continuations
from caravan.engine.params import GenerationRequest, SamplingParams

from tests.engine.drafts.drafted import Drafted, Known, draft_always
from tests.engine.guided import SIZE
from tests.engine.harness import Key
from tests.fakes import END_OF_GENERATION, FakeContext


class Drafting(Drafted):
    """Drafts as an engine of the server does; with `draft_cells`, from a draft model that writes the same."""

    def __init__(self, max_drafted: int, context: FakeContext, draft_cells: int = 0) -> None:
        super().__init__(max_drafted, context=context)
        drafter, model = self.engine._drafter, None
        self.draft_context = FakeContext(num_cells=draft_cells, max_sequences=4, vocab_size=SIZE)
        if draft_cells:
            model = DraftModel(self.draft_context, 64, frozenset({END_OF_GENERATION}), 1.0)
        trees = self.engine._kv_cache.trees
        drafter.make_chain = Proposers(self.vocab.token_bytes, Continuations(trees), model).chain_for
        drafter._draft_model = model

    def rounds(self, rounds: Iterable[list[GenerationRequest]]) -> dict[Key, Known]:
        """What clients learn of requests, each round of which comes when the one before is done."""
        found: dict[Key, Known] = {}
        for items in rounds:
            found |= self.known(items)
        return found


def _rounds(seed: int) -> list[list[GenerationRequest]]:
    """Questions that are asked again and again, by three owners, alone and beside others."""
    rng = random.Random(seed)
    prompts = [[rng.randrange(97, 123) for _ in range(rng.randrange(3, 50))] for _ in range(3)]
    return [
        [
            GenerationRequest(
                id=f"{number}-{place}",
                token_ids=tuple(rng.choice(prompts)),
                params=SamplingParams(
                    temperature=rng.choice((0.0, 0.0, 1.0)),
                    seed=rng.randrange(3),
                    max_tokens=rng.randrange(40),
                ),
                n=rng.choice((1, 1, 3)),
                cache_salt=rng.choice(("", "a", "b")),
                num_public_tokens=rng.choice((0, 3)),
            )
            for place in range(rng.randrange(1, 4))
        ]
        for number in range(8)
    ]


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    draft_always(monkeypatch)


@pytest.mark.parametrize(
    ("seed", "num_cells", "draft_cells"),
    [(0, 4096, 0), (1, 150, 0), (2, 4096, 60), (3, 150, 2000), (4, 4096, 2000)],
)
def test_texts_are_the_same_whatever_they_are_drafted_from(
    seed: int, num_cells: int, draft_cells: int
) -> None:
    rounds = _rounds(seed)
    expected = Drafting(0, FakeContext(vocab_size=SIZE, num_cells=num_cells)).rounds(rounds)
    harness = Drafting(6, FakeContext(vocab_size=SIZE, num_cells=num_cells), draft_cells)
    assert harness.rounds(rounds) == expected
    assert harness.draft_context.num_cells_used <= draft_cells
    drafted, accepted = harness.engine.stats().num_drafted, harness.engine.stats().num_accepted
    assert accepted.get("tree", 0) > 0 or num_cells < 4096
    if draft_cells == 2000:
        # It writes the same where the likeliest token is drawn.
        assert accepted["model"] > drafted["model"] / 4


def test_an_answer_of_another_group_is_never_drafted_from() -> None:
    harness = Drafting(6, FakeContext(vocab_size=SIZE))
    params = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
    steps = []
    for salt in ("a", "b", "c", "c"):
        before = harness.engine.stats().num_steps
        item = GenerationRequest(
            id=f"{salt}{before}", token_ids=(97, 98, 99), params=params, cache_salt=salt, num_public_tokens=2
        )
        harness.known([item])
        steps.append(harness.engine.stats().num_steps - before)
    assert steps[0] == steps[1] == steps[2] > 4 * steps[3]
    assert set(harness.engine.stats().num_drafted) <= {"tree", "ngram"}
