"""What was computed with an adapter is forgotten with it, wherever it is kept, and nothing else is."""

import pytest
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.kv.scopes import adapters_of, name_of_set
from caravan.engine.params import ONCE, AdapterSet
from caravan.llama.batch import Batch

from tests.engine.kv.test_checkpoints import Memory as StateMemory
from tests.fakes import FakeContext

PROMPT = list(range(100, 160))
ONE: AdapterSet = (("one", 1.0),)
BOTH: AdapterSet = (("one", 0.5), ("two", 1.0))
TWO: AdapterSet = (("two", 1.0),)
SETS = (ONE, BOTH, TWO)


def is_of_one(scope: str) -> bool:
    return "one" in adapters_of(scope)


@pytest.mark.parametrize("lora", SETS)
@pytest.mark.parametrize("salt", ["", "a:b", '1:[["one", 1.0]]'])
def test_a_scopes_name_tells_its_adapters(lora: AdapterSet, salt: str) -> None:
    assert adapters_of(name_of_set(lora) + salt) == [name for name, _ in lora]
    assert adapters_of(salt) == ()
    assert adapters_of(ONCE + salt) == ()


@pytest.mark.parametrize("is_offloaded", [False, True])
def test_cells_and_copies_of_it_are_forgotten(*, is_offloaded: bool) -> None:
    context = FakeContext(4096, 16)
    cache = KVCache(context, None)
    names = ["", *map(name_of_set, SETS), name_of_set(ONE) + "salt"]
    for name in names:
        allocation = cache.allocate(PROMPT, CacheScope(name))
        assert allocation is not None
        batch = Batch(1000)
        batch.add(allocation.seq_id, 0, PROMPT[:-1], wants_logits=True)
        context.decode(batch)
        cache.commit(allocation.seq_id, PROMPT[:-1])
        cache.retire(allocation.seq_id)
    if is_offloaded:
        while cache.evict_one():
            pass
        assert cache.num_offloaded_tokens == len(names) * len(PROMPT[:-1])
    cache.forget(is_of_one)
    known = [cache.num_known(PROMPT, CacheScope(name)) > 0 for name in names]
    assert known == [True, False, False, True, False]


def test_checkpoints_of_one_that_began_within_a_text_are_forgotten() -> None:
    memory = StateMemory(is_all_state=True)
    scope = CacheScope(f"{name_of_set(ONE)}\00040", 40)
    memory.warm([*PROMPT, 9, 1, 2, 3, *PROMPT])
    memory.warm([*PROMPT, 9, 1, 2, 3, *PROMPT], scope)
    assert memory.warm([*PROMPT, 9, 7], scope) > 40
    memory.cache.forget(is_of_one)
    assert memory.warm([*PROMPT, 9, 7], scope) <= 40
    assert memory.warm([*PROMPT, 9, 7]) > 40


def test_checkpoints_of_it_are_forgotten() -> None:
    memory = StateMemory()
    for name in ("", name_of_set(ONE)):
        memory.warm([*PROMPT, 9, 1, 2, 3, *PROMPT], name)
    kept = memory.cache.checkpoints.num_kept
    assert memory.warm([*PROMPT, 9, 7], name_of_set(ONE)) > 0
    memory.cache.forget(is_of_one)
    assert 0 < memory.cache.checkpoints.num_kept < kept
    assert memory.warm([*PROMPT, 9, 7], name_of_set(ONE)) == 0
    assert memory.warm([*PROMPT, 9, 7]) > 0
