"""Who is asked, and when somebody stands back."""

from dataclasses import dataclass, field

from caravan.engine.drafts.chain import Acceptance, ProposerChain, foresee_all
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.drafts.model_proposer import ModelProposer
from caravan.engine.drafts.proposer import Draft, DraftSource
from caravan.engine.drafts.proposers import Proposers
from caravan.engine.kv.continuations import Continuations
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope

from tests.fakes import END_OF_GENERATION, FakeContext, FakeVocab

TEXT = list(range(10))


@dataclass
class Knowing:
    """Says the same whenever it is asked."""

    source: DraftSource
    found: list[int]
    asked: list[int] = field(default_factory=list)

    def propose(self, token_ids: list[int], most: int) -> list[int]:
        self.asked.append(len(token_ids))
        return self.found[:most]


def _of_all(count: int) -> "dict[DraftSource, int]":
    return dict.fromkeys(DraftSource, count)


def test_the_first_who_knows_something_is_heard() -> None:
    silent, first, second = (
        Knowing(DraftSource.PREDICTION, []),
        Knowing(DraftSource.NGRAM, [1, 2, 3]),
        Knowing(DraftSource.TREE, [4, 5]),
    )
    chain = ProposerChain([silent, first, second])
    assert chain.propose(TEXT, _of_all(2).__getitem__) == Draft(DraftSource.NGRAM, (1, 2))
    assert (silent.asked, first.asked, second.asked) == ([10], [10], [])


def test_a_source_of_which_nothing_is_wanted_is_not_asked() -> None:
    first, second = Knowing(DraftSource.NGRAM, [1]), Knowing(DraftSource.TREE, [4, 5])
    chain = ProposerChain([first, second])
    most = {DraftSource.NGRAM: 0, DraftSource.TREE: 1}
    assert chain.propose(TEXT, most.__getitem__) == Draft(DraftSource.TREE, (4,))
    assert not first.asked


def test_who_is_mostly_wrong_stands_back_until_right_again() -> None:
    first, second = Knowing(DraftSource.NGRAM, [1]), Knowing(DraftSource.TREE, [2])
    chain, text, most = ProposerChain([first, second]), list(TEXT), _of_all(1).__getitem__
    heard = []
    for token_id in [2] * 20 + [1] * 40:
        draft = chain.propose(text, most)
        assert draft is not None
        heard.append(draft.source)
        chain.observe(draft, int(draft.token_ids == (token_id,)))
        text.append(token_id)
    assert heard[0] is DraftSource.NGRAM
    assert heard[19] is DraftSource.TREE
    assert heard[59] is DraftSource.NGRAM


def test_who_is_mostly_wrong_is_better_than_nobody() -> None:
    chain = ProposerChain([Knowing(DraftSource.NGRAM, [1])])
    chain.acceptance[DraftSource.NGRAM].observe(100, 0)
    for _ in range(100):
        chain.acceptance[DraftSource.NGRAM].observe(1, 0)
    assert chain.propose(TEXT, _of_all(1).__getitem__) == Draft(DraftSource.NGRAM, (1,))


def test_acceptance_is_the_share_of_what_was_compared() -> None:
    acceptance = Acceptance()
    for _ in range(200):
        acceptance.observe(8, 3)
    # Three right and one wrong, the last of them the freshest.
    assert 0.7 < acceptance.rate < 0.8
    assert acceptance.expected(2) < 2 < acceptance.expected(8) < 4
    for _ in range(200):
        acceptance.observe(8, 8)
    assert acceptance.rate > 0.99
    assert 3.9 < acceptance.expected(4) <= 4


def _chains(model: DraftModel, count: int) -> list[ProposerChain]:
    return [ProposerChain([], ModelProposer(model, CacheScope())) for _ in range(count)]


def test_the_draft_model_is_asked_once_for_all() -> None:
    context = FakeContext()
    model = DraftModel(context, 64, frozenset({END_OF_GENERATION}), 1.0)
    most = _of_all(3).__getitem__
    texts = [[number, 5, 6, 7] for number in range(3)]
    alone = [chain.propose(text, most) for chain, text in zip(_chains(model, 3), texts, strict=True)]
    chains = _chains(model, 3)
    foresee_all(model, [(chain, text, most) for chain, text in zip(chains, texts, strict=True)])
    assert context.most_rows == 3
    before = context.num_decoded
    together = [chain.propose(text, most) for chain, text in zip(chains, texts, strict=True)]
    assert context.num_decoded == before
    assert together == alone
    assert all(draft is not None and draft.source is DraftSource.MODEL for draft in alone)


def test_the_draft_model_is_spared_where_somebody_knows_better() -> None:
    context = FakeContext()
    model = DraftModel(context, 64, frozenset(), 1.0)
    proposers = Proposers(FakeVocab().token_bytes, Continuations(KVCache(FakeContext()).trees), model)
    chain = proposers.chain(len(TEXT), CacheScope(), predicted_ids=[1, 2, 3])
    most = _of_all(2).__getitem__
    foresee_all(model, [(chain, TEXT, most)])
    assert chain.propose(TEXT, most) == Draft(DraftSource.PREDICTION, (1, 2))
    assert context.num_decoded == 0
