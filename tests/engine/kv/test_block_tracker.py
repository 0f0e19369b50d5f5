"""The blocks that events tell of, against a scan over what is in memory."""

import random

import pytest
from caravan.engine.block_events import (
    AllBlocksCleared,
    BlockEvent,
    BlocksRemoved,
    BlocksStored,
    block_hashes,
    chain_root,
)
from caravan.engine.kv.block_tracker import BlockTracker, BlockWatch, Watch
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope, RadixTree
from caravan.llama.batch import Batch

from tests.fakes import FakeContext

ROOT = chain_root("a model")
SIZE = 4


class Router:
    """Somebody who knows nothing but the events."""

    def __init__(self) -> None:
        self.parents: dict[int, int | None] = {}

    def hear(self, events: tuple[BlockEvent, ...]) -> None:
        for event in events:
            match event:
                case BlocksStored():
                    self._store(event)
                case BlocksRemoved(names):
                    for name in names:
                        del self.parents[name]
                        assert name not in self.parents.values(), "a block goes after those behind it"
                case AllBlocksCleared():
                    self.parents.clear()

    def _store(self, event: BlocksStored) -> None:
        parent = event.parent_hash
        assert parent is None or parent in self.parents, "a block comes after the one before it"
        assert len(event.token_ids) == len(event.block_hashes) * event.block_size
        for name in event.block_hashes:
            assert name not in self.parents, "nothing is told twice"
            self.parents[name] = parent
            parent = name


def scan(cache: KVCache) -> set[int]:
    """The blocks that are in memory, by all that is there."""
    return {
        name
        for tree in cache.trees
        for seq_id in tree.seq_ids
        for name in block_hashes(tree.tokens(seq_id), ROOT, SIZE)
    }


class Workload:
    """Random sequences that come, grow, end and are shed, in a cache too small for them."""

    def __init__(self, seed: int, *, can_cut: bool = True) -> None:
        self.rng = random.Random(seed)
        self.context = FakeContext(num_cells=120, max_sequences=6, can_cut=can_cut)
        self.cache = KVCache(self.context, 60)
        self.running: dict[int, list[int]] = {}

    def operate(self) -> None:
        """One thing that engines do."""
        act = self.rng.choice(
            ["begin", "begin", "grow", "grow", "retire", "discard", "evict", "pass", "clear"]
        )
        if act == "begin":
            self._begin()
        elif act == "evict":
            self.cache.evict_one()
        elif act == "pass":
            self.cache.offload_idle()
        elif act == "clear" and not self.running and self.rng.random() < 0.2:
            self.cache.clear()
        elif self.running and act in ("grow", "retire", "discard"):
            seq_id = self.rng.choice(list(self.running))
            if act == "grow":
                self._compute(seq_id, [self.rng.randrange(2) for _ in range(self.rng.randrange(1, 9))])
            else:
                del self.running[seq_id]
                self.cache.retire(seq_id) if act == "retire" else self.cache.discard(seq_id)
        assert self.cache.audit() == []

    def _begin(self) -> None:
        tokens = [self.rng.randrange(2) for _ in range(self.rng.randrange(1, 40))]
        scope = CacheScope(self.rng.choice(["", "one", "two"]), self.rng.randrange(12))
        if len(tokens) > self.cache.num_spare_cells():
            return
        allocation = self.cache.allocate(tokens, scope)
        if allocation is not None:
            self.running[allocation.seq_id] = tokens[: allocation.num_cached_tokens]
            self._compute(allocation.seq_id, tokens[allocation.num_cached_tokens :])

    def _compute(self, seq_id: int, tokens: list[int]) -> None:
        while self.cache.num_free_cells() < len(tokens):
            if not self.cache.evict_one():
                return
        batch = Batch(64)
        batch.add(seq_id, len(self.running[seq_id]), tokens, wants_logits=True)
        self.context.decode(batch)
        self.cache.commit(seq_id, tokens)
        self.running[seq_id] += tokens


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_the_events_tell_what_a_scan_finds(seed: int, can_cut: bool) -> None:
    load = Workload(seed, can_cut=can_cut)
    for _ in range(30):
        load.operate()
    router, watch = Router(), BlockWatch(load.cache.trees)
    watch.turn(Watch(ROOT, SIZE, router.hear))
    most = 0
    for _ in range(600):
        load.operate()
        if load.rng.random() < 0.5:
            watch.flush()
            assert set(router.parents) == scan(load.cache)
            most = max(most, len(router.parents))
    assert most > 5


def test_a_block_that_two_hold_goes_with_the_second() -> None:
    tree, tracker = RadixTree(), BlockTracker(ROOT, SIZE)
    tracker.watch(tree)
    (begun,) = tracker.take()
    assert begun == AllBlocksCleared()
    tree.insert(1)
    tree.extend(1, [1, 2, 3, 4, 5])
    tree.fork(1, 2, 4)
    first = block_hashes([1, 2, 3, 4], ROOT, SIZE)
    assert tracker.take() == (BlocksStored(tuple(first), None, (1, 2, 3, 4), SIZE),)
    tree.extend(2, [6, 7, 8, 9])
    (second,) = tracker.take()
    assert isinstance(second, BlocksStored)
    assert (second.parent_hash, second.token_ids) == (first[0], (6, 7, 8, 9))
    tree.remove(1)
    assert tracker.take() == ()
    tree.truncate(2, 6)
    assert tracker.take() == (BlocksRemoved(second.block_hashes),)
    tree.extend(2, [8, 9])
    assert tracker.take() == (second,)
    tree.remove(2)
    assert tracker.take() == (AllBlocksCleared(),)


def test_nobody_is_told_when_nobody_asks() -> None:
    load = Workload(0)
    watch = BlockWatch(load.cache.trees)
    told: list[BlockEvent] = []
    watch.turn(Watch(ROOT, SIZE, told.extend))
    watch.turn(None)
    for _ in range(50):
        load.operate()
    watch.flush()
    assert told == []
    assert all(tree.observer is None for tree in load.cache.trees)
