"""Drafts from the texts of others, and from nobody's whose they are not."""

import random

import pytest
from caravan.engine.drafts.tree import TreeProposer
from caravan.engine.kv.continuations import Continuations
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.kv.radix_tree import CacheScope, RadixTree
from caravan.llama.batch import Batch

from tests.fakes import FakeContext

PROMPT = list(range(10, 30))
ANSWER = list(range(100, 140))


class Cache:
    """A cache with texts that were computed in it."""

    def __init__(self, num_host_cache_tokens: int = 0, max_sequences: int = 16) -> None:
        self.context = FakeContext(max_sequences=max_sequences)
        self.cache = KVCache(self.context, num_host_cache_tokens)
        self.continuations = Continuations(self.cache.trees)

    def compute(self, token_ids: list[int], scope: CacheScope) -> int:
        allocation = self.cache.allocate(token_ids, scope)
        assert allocation is not None
        start = allocation.num_cached_tokens
        batch = Batch(1000)
        batch.add(allocation.seq_id, start, token_ids[start:], wants_logits=True)
        self.context.decode(batch)
        self.cache.commit(allocation.seq_id, token_ids[start:])
        return allocation.seq_id

    def proposer(self, scope: CacheScope) -> TreeProposer:
        return TreeProposer(self.continuations, scope)


def test_an_answer_that_is_made_again_is_drafted() -> None:
    scope, cache = CacheScope("key"), Cache()
    cache.cache.retire(cache.compute(PROMPT + ANSWER, scope))
    seq_id = cache.compute(PROMPT, scope)
    proposer = cache.proposer(scope)
    assert proposer.propose(PROMPT, 5) == ANSWER[:5]
    cache.cache.commit(seq_id, ANSWER[:3])
    assert proposer.propose(PROMPT + ANSWER[:4], 5) == ANSWER[4:9]
    assert proposer.propose([*PROMPT, *ANSWER[:4], 7], 5) == []


def test_one_that_runs_ahead_is_followed_as_it_grows() -> None:
    scope, cache = CacheScope("key"), Cache()
    seq_id = cache.compute(PROMPT + ANSWER[:8], scope)
    proposer = cache.proposer(scope)
    assert proposer.propose(PROMPT, 20) == ANSWER[:8]
    cache.cache.commit(seq_id, ANSWER[8:20])
    assert proposer.propose(PROMPT + ANSWER[:8], 20) == ANSWER[8:20]


def test_what_was_found_stays_known_when_it_has_left_the_cells() -> None:
    scope, cache = CacheScope("key"), Cache(max_sequences=2)
    cache.cache.retire(cache.compute(PROMPT + ANSWER, scope))
    proposer = cache.proposer(scope)
    assert proposer.propose(PROMPT, 5) == ANSWER[:5]
    cache.cache.clear()
    assert proposer.propose(PROMPT + ANSWER[:5], 5) == ANSWER[5:10]


def test_what_lies_in_the_host_cache_is_found_too() -> None:
    scope, cache = CacheScope("key"), Cache(num_host_cache_tokens=1000)
    cache.cache.retire(cache.compute(PROMPT + ANSWER, scope))
    assert cache.cache.evict_one()
    assert cache.cache.num_cells_used == 0
    assert cache.proposer(scope).propose(PROMPT, 5) == ANSWER[:5]


def test_of_several_the_latest_is_followed() -> None:
    scope, cache = CacheScope("key"), Cache()
    for answer in (ANSWER, [1, 2, 3], [4, 5, 6]):
        cache.cache.retire(cache.compute(PROMPT + answer, scope))
    assert cache.proposer(scope).propose(PROMPT, 3) == [4, 5, 6]


def test_nobody_is_looked_for_with_each_token(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, looks = Cache(), list[int]()
    proposer = cache.proposer(CacheScope("key"))

    def after(token_ids: list[int], _scope: CacheScope, _most: int) -> list[int]:
        looks.append(len(token_ids))
        return []

    monkeypatch.setattr(cache.continuations, "after", after)
    text = list(range(1000))
    for count in range(1, 1000):
        assert proposer.propose(text[:count], 4) == []
    assert len(looks) <= 1000 / 64 + 1


SCOPES = [
    CacheScope(),
    *(CacheScope(name, num_public) for name in ("key a", "key b") for num_public in (0, 3, 20, 25)),
]


@pytest.mark.parametrize("ours", SCOPES)
@pytest.mark.parametrize("theirs", SCOPES)
@pytest.mark.parametrize("is_offloaded", [False, True])
def test_nothing_of_another_group_is_ever_drafted(
    ours: CacheScope, theirs: CacheScope, is_offloaded: bool
) -> None:
    """Whoever owns it: only what the two may share, at whatever length the texts part."""
    cache = Cache(num_host_cache_tokens=1000)
    text = PROMPT + ANSWER
    cache.cache.retire(cache.compute(text, theirs))
    if is_offloaded:
        cache.cache.evict_one()
    shareable = min(len(text), ours.num_shareable(theirs))
    for known in range(1, len(text)):
        found = cache.proposer(ours).propose(text[:known], 100)
        assert found == text[known:shareable]


@pytest.mark.parametrize("seed", range(6))
def test_the_tree_goes_on_as_a_sequence_in_it_does(seed: int) -> None:
    rng = random.Random(seed)
    tree = RadixTree()
    for _ in range(200):
        seq_id = rng.randrange(8)
        if seq_id not in tree.seq_ids:
            sources = sorted(tree.seq_ids)
            if sources and rng.random() < 0.5:
                source = rng.choice(sources)
                tree.fork(source, seq_id, rng.randrange(tree.length(source) + 1))
            else:
                tree.insert(seq_id)
        elif rng.random() < 0.2:
            tree.remove(seq_id)
        elif rng.random() < 0.2:
            tree.truncate(seq_id, rng.randrange(tree.length(seq_id) + 1))
        else:
            tree.extend(seq_id, [rng.randrange(2) for _ in range(rng.randrange(5))])
        query = [rng.randrange(2) for _ in range(rng.randrange(1, 8))]
        texts = [tree.tokens(i) for i in tree.seq_ids]
        beyond = [text[len(query) :] for text in texts if common_prefix(text, query) == len(query)]
        found = tree.going_on(query, 6)
        assert bool(found) == any(beyond)
        assert not found or any(text[: len(found)] == found for text in beyond)
