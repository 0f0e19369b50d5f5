"""Who gets which memory, and who loses it first."""

import pytest
from caravan.engine.kv.allocation import Allocation
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope
from caravan.llama.batch import Batch

from tests.fakes import FakeContext


def compute(context: FakeContext, cache: KVCache, allocation: Allocation | None, tokens: list[int]) -> int:
    """Compute the rest of a prompt, as the engine would; the sequence id."""
    assert allocation is not None
    batch = Batch(1000)
    start = allocation.num_cached_tokens
    batch.add(allocation.seq_id, start, tokens[start:], wants_logits=True)
    context.decode(batch)
    cache.commit(allocation.seq_id, tokens[start:])
    assert cache.num_cells_used == context.num_cells_used
    assert cache.audit() == []
    return allocation.seq_id


def warm(context: FakeContext, cache: KVCache, tokens: list[int]) -> int:
    """Compute a prompt and leave it idle."""
    seq_id = compute(context, cache, cache.allocate(tokens, CacheScope()), tokens)
    cache.retire(seq_id)
    return seq_id


def test_the_last_token_of_a_prompt_is_always_left_to_compute() -> None:
    context = FakeContext()
    cache = KVCache(context)
    warm(context, cache, [1, 2, 3, 4])
    allocation = cache.allocate([1, 2, 3, 4], CacheScope())
    assert allocation is not None
    assert allocation.num_cached_tokens == 3


def test_an_idle_sequence_that_the_prompt_continues_is_taken_over() -> None:
    context = FakeContext()
    cache = KVCache(context)
    seq_id = warm(context, cache, [1, 2, 3])
    assert cache.allocate([1, 2, 3, 4], CacheScope()) == Allocation(seq_id, 3)
    assert cache.num_idle == 0


def test_an_idle_sequence_that_goes_another_way_is_copied_and_kept() -> None:
    context = FakeContext()
    cache = KVCache(context)
    seq_id = warm(context, cache, [1, 2, 3, 4, 5])
    allocation = cache.allocate([1, 2, 3, 9, 9], CacheScope())
    assert allocation is not None
    assert (allocation.seq_id != seq_id, allocation.num_cached_tokens) == (True, 3)
    compute(context, cache, allocation, [1, 2, 3, 9, 9])
    assert cache.num_idle == 1
    assert cache.num_cells_used == 7


def test_a_running_sequence_shares_its_prefix() -> None:
    context = FakeContext()
    cache = KVCache(context)
    compute(context, cache, cache.allocate([1, 2, 3, 4], CacheScope()), [1, 2, 3, 4])
    assert cache.num_new_cells([1, 2, 3, 7], CacheScope()) == 1
    allocation = cache.allocate([1, 2, 3, 7], CacheScope())
    assert allocation is not None
    assert allocation.num_cached_tokens == 3
    compute(context, cache, allocation, [1, 2, 3, 7])
    assert cache.num_cells_used == 5


@pytest.mark.parametrize("prompt", [[1, 2, 3, 9], [1, 2, 9]])
def test_memory_that_cannot_be_cut_is_shared_whole_or_not_at_all(prompt: list[int]) -> None:
    context = FakeContext(can_cut=False)
    cache = KVCache(context)
    compute(context, cache, cache.allocate([1, 2, 3], CacheScope()), [1, 2, 3])
    allocation = cache.allocate(prompt, CacheScope())
    assert allocation is not None
    assert allocation.num_cached_tokens == (3 if prompt[:3] == [1, 2, 3] else 0)


def test_the_least_recently_used_idle_sequence_goes_first() -> None:
    context = FakeContext(max_sequences=3)
    cache = KVCache(context)
    for stem in (10, 20, 30):
        warm(context, cache, [stem, 1, 2])
    touched = cache.allocate([10, 1, 5], CacheScope())
    assert touched is not None
    assert cache.num_evictions == 1
    assert cache.match([20, 1, 2], CacheScope()).length == 0
    assert cache.match([10, 1, 2], CacheScope()).length == 3


def test_no_id_is_left_when_all_are_active() -> None:
    context = FakeContext(max_sequences=2)
    cache = KVCache(context)
    for stem in (10, 20):
        compute(context, cache, cache.allocate([stem, 1], CacheScope()), [stem, 1])
    assert cache.allocate([30, 1], CacheScope()) is None
    assert not cache.evict_one()


def test_the_only_idle_sequence_is_cut_when_there_is_no_other_id() -> None:
    context = FakeContext(max_sequences=1)
    cache = KVCache(context)
    seq_id = warm(context, cache, [1, 2, 3, 4])
    assert cache.allocate([1, 2, 9], CacheScope()) == Allocation(seq_id, 2)
    assert cache.num_cells_used == context.num_cells_used == 2


def test_spare_cells_are_those_that_no_active_sequence_holds() -> None:
    context = FakeContext(num_cells=100)
    cache = KVCache(context)
    warm(context, cache, list(range(30)))
    assert (cache.num_free_cells(), cache.num_spare_cells()) == (70, 100)
    compute(context, cache, cache.allocate([*range(20), 99], CacheScope()), [*range(20), 99])
    assert (cache.num_free_cells(), cache.num_spare_cells()) == (69, 79)


def test_a_sliding_window_that_has_moved_on_gives_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext(sliding_window=4)
    cache = KVCache(context)
    warm(context, cache, list(range(20)))
    assert cache.match(list(range(10)), CacheScope()).length == 10
    monkeypatch.setattr(context, "min_position", lambda _seq_id: 12)
    assert cache.match(list(range(10)), CacheScope()).length == 0
    assert cache.match(list(range(30)), CacheScope()).length == 20


def test_clearing_needs_everybody_gone() -> None:
    context = FakeContext()
    cache = KVCache(context)
    seq_id = compute(context, cache, cache.allocate([1, 2], CacheScope()), [1, 2])
    with pytest.raises(RuntimeError, match="active"):
        cache.clear()
    cache.retire(seq_id)
    cache.clear()
    assert cache.audit() == []
    assert cache.num_cells_used == 0
