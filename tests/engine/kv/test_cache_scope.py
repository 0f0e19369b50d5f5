"""Which tokens of two sequences may be shared."""

import random

import pytest
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_node import common_prefix
from caravan.engine.kv.radix_tree import CacheScope, RadixTree
from caravan.llama.batch import Batch

from tests.fakes import FakeContext

SALTS = [
    CacheScope(),
    *(CacheScope(name, num_public) for name in ("key a", "key b") for num_public in (0, 1, 3, 7)),
    *(CacheScope(name, start) for name in ("set a", "set b") for start in (4, 6)),
    *(
        CacheScope(name, start, CacheScope(key, num_public))
        for name in ("set a", "set b")
        for start in (4, 6)
        for key in ("key a", "key b")
        for num_public in (0, 3)
    ),
    CacheScope("set c", 6, CacheScope("set a", 4, CacheScope("key a", 1))),
]


@pytest.mark.parametrize("seed", range(5))
def test_keys_meet_where_tokens_may_be_shared(seed: int) -> None:
    """A tree of keys, filled piece by piece, against the rule itself."""
    rng = random.Random(seed)
    for _ in range(200):
        ours, others = rng.choice(SALTS), rng.choice(SALTS)
        tokens, query = ([rng.randrange(2) for _ in range(rng.randrange(12))] for _ in range(2))
        tree, start = RadixTree(), 0
        tree.insert(1)
        while start < len(tokens):
            end = rng.randrange(start, len(tokens) + 1)
            tree.extend(1, ours.keys(tokens[start:end], start))
            start = end
        expected = min(common_prefix(tokens, query), ours.num_shareable(others))
        assert tree.match(others.keys(query)).length == expected


def test_what_nobody_owns_costs_no_copy() -> None:
    tokens = [1, 2, 3]
    assert CacheScope().keys(tokens) is tokens
    assert CacheScope("key", 3).keys(tokens) is tokens
    assert CacheScope("key").keys(tokens, 1) is tokens
    assert CacheScope("key", 1).keys(tokens) is not tokens


def test_an_answer_is_private_where_the_whole_prompt_is_public() -> None:
    context = FakeContext()
    cache = KVCache(context)
    salt, prompt = CacheScope("key a", 4), [1, 2, 3, 4]
    allocation = cache.allocate(prompt, salt)
    assert allocation is not None
    for computed in (prompt, [5], [6, 7]):
        cache.commit(allocation.seq_id, computed)
    cache.retire(allocation.seq_id)
    assert cache.match([*prompt, 5, 6, 7], salt).length == 7
    assert cache.match([*prompt, 5, 6, 7], CacheScope("key b", 4)).length == 4
    assert cache.match([*prompt, 5, 6, 7], CacheScope("key b")).length == 0


@pytest.mark.parametrize("seed", range(3))
def test_no_history_gives_a_sequence_more_than_is_public(seed: int) -> None:
    """Taken over, copied, evicted, offloaded, restored: what is cached is another's only where it may be."""
    rng = random.Random(seed)
    context = FakeContext(num_cells=300, max_sequences=4)
    cache = KVCache(context, None)
    stems = [[rng.randrange(9) for _ in range(80)] for _ in range(2)]
    seen: list[tuple[CacheScope, list[int]]] = []
    across = 0
    for _ in range(150):
        stem, name = rng.choice(stems), rng.choice(["a", "b", "c"])
        salt = CacheScope(name, rng.choice([0, 50]))
        tokens = [*stem[: rng.randrange(40, 80)], *(rng.randrange(9) for _ in range(5))]
        allocation = cache.allocate(tokens, salt)
        assert allocation is not None
        start = allocation.num_cached_tokens
        allowed = [(s, min(common_prefix(t, tokens), s.num_shareable(salt))) for s, t in seen]
        assert start <= max((length for _, length in allowed), default=0)
        across += start > max((length for s, length in allowed if s == salt), default=0)
        batch = Batch(1000)
        batch.add(allocation.seq_id, start, tokens[start:], wants_logits=True)
        context.decode(batch)
        cache.commit(allocation.seq_id, tokens[start:])
        seen.append((salt, tokens))
        for _ in range(rng.randrange(20)):
            cache.offload_idle()
        cache.retire(allocation.seq_id)
        assert cache.audit() == []
        assert cache.num_cells_used == context.num_cells_used
    assert across, "something was shared among keys"
