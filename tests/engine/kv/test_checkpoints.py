"""Which checkpoints are kept, where sequences stop for them, and who can begin there."""

import random

import numpy as np
import pytest
from caravan.engine.kv.allocation import Allocation
from caravan.engine.kv.checkpoint_places import turn_ends
from caravan.engine.kv.checkpoint_store import CheckpointStore
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope
from caravan.llama.batch import Batch

from tests.fakes import FakeContext, FakePartialStates

STEM = list(range(100, 140))
END = 9


def state(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.zeros(size, np.uint8)


class Memory:
    """A cache over memory with states, and runs through it that stop where they should."""

    def __init__(self, capacity: int = 1 << 20, num_host_cache_tokens: int = 0, **changes: int) -> None:
        self.context = FakeContext(can_cut=False, can_checkpoint=True, **changes)  # type: ignore[arg-type]
        self.cache = KVCache(self.context, num_host_cache_tokens, 0, capacity, {END})

    def begin(self, tokens: list[int], scope: CacheScope | str = "") -> Allocation:
        """Compute a prompt, piece by piece, and keep it running."""
        scope = CacheScope(scope) if isinstance(scope, str) else scope
        allocation = self.cache.allocate(tokens, scope)
        assert allocation is not None
        computed = allocation.num_cached_tokens
        while computed < len(tokens):
            until = self.cache.checkpoints.num_until_stop(allocation.seq_id, computed)
            piece = tokens[computed : computed + until]
            batch = Batch(1000)
            batch.add(allocation.seq_id, computed, piece, wants_logits=True)
            self.context.decode(batch)
            self.cache.commit(allocation.seq_id, piece)
            computed += len(piece)
        assert self.cache.num_cells_used == self.context.num_cells_used
        assert self.cache.audit() == []
        return allocation

    def warm(self, tokens: list[int], scope: CacheScope | str = "") -> int:
        """Compute a prompt and leave it idle; how much of it was there already."""
        allocation = self.begin(tokens, scope)
        self.cache.retire(allocation.seq_id)
        return allocation.num_cached_tokens


def test_a_store_finds_the_longest_that_a_prompt_begins_with() -> None:
    """Compared with a look at all of them, through random additions."""
    rng = random.Random(4)
    store, kept = CheckpointStore(30 * 8), dict[tuple[int, ...], bytes]()
    for number in range(300):
        keys = [rng.randrange(3) for _ in range(rng.randrange(1, 9))]
        longest = max((len(k) for k in kept if list(k) == keys[: len(k)]), default=0)
        assert store.longest(keys) == longest
        found = store.find(keys)
        assert (None if found is None else found.tobytes()) == kept.get(tuple(keys))
        if found is None:
            new = np.full(8, number % 256, np.uint8)
            assert store.keep(keys, new)
            kept[tuple(keys)] = new.tobytes()
        else:
            kept[tuple(keys)] = kept.pop(tuple(keys))
        if len(kept) > 30:
            del kept[next(iter(kept))]
        assert (len(store), store.num_bytes) == (len(kept), 8 * len(kept))


def test_what_is_larger_than_the_store_is_not_kept() -> None:
    store = CheckpointStore(100)
    assert store.keep([1], state(60))
    assert not store.keep([2], state(101))
    assert (len(store), store.longest([1, 2])) == (1, 1)


def test_turns_end_after_tokens_that_end_them() -> None:
    instructions, user = [*range(20, 50), END], [*range(60, 90), END]
    prompt = [*instructions, *user, 1, 2, 3]
    assert turn_ends(prompt, {END}, 0) == [31, 62]
    assert turn_ends(prompt, {END}, 31) == [62]
    assert turn_ends(prompt, {END}, 50) == []
    assert turn_ends(prompt[:62], {END}, 0) == [31]


def test_of_a_long_conversation_few_turns_are_stopped_at() -> None:
    prompt = [*[5] * 99, END] * 40
    places = turn_ends([*prompt, 1], {END}, 0)
    assert places == [100, 700, 1300, 1900, 2500, 3100, 3700, 4000]


def test_others_begin_where_a_turn_ended() -> None:
    memory = Memory()
    assert memory.warm([*STEM, END, *range(20)]) == 0
    assert memory.warm([*STEM, END, *range(50, 70)]) == 41
    assert memory.cache.checkpoints.num_used == 1


def test_the_second_visitor_pays_for_a_branch_and_the_third_does_not() -> None:
    memory = Memory()
    assert [memory.warm([*STEM, number, *range(20)]) for number in (1, 2, 3)] == [0, 0, 40]


def test_where_an_answer_is_gone_on_from_others_can_begin() -> None:
    memory = Memory()
    memory.warm(STEM)
    assert memory.warm([*STEM, *range(20)]) == 40
    assert memory.warm([*STEM, *range(50, 70)]) == 40


def test_checkpoints_are_of_a_scope() -> None:
    memory = Memory()
    memory.warm([*STEM, END, 1], "one")
    assert memory.warm([*STEM, END, 2], "two") == 0
    assert memory.warm([*STEM, END, 3], "one") == 41


def test_a_checkpoint_without_its_cells_waits_for_them() -> None:
    memory = Memory(max_sequences=2)
    memory.warm([*STEM, END, 1])
    memory.warm([7] * 20)
    memory.warm([8] * 20)
    num_saved = memory.context.num_saved
    assert memory.warm([*STEM, END, 2]) == 0
    assert memory.context.num_saved == num_saved
    assert memory.warm([*STEM, END, 3]) == 41


def test_without_another_id_a_sequence_is_taken_back() -> None:
    memory = Memory(max_sequences=1)
    memory.warm([*STEM, END, 1, 2, 3])
    assert memory.warm([*STEM, END, 4]) == 41
    assert memory.cache.num_cells_used == 42


def test_a_state_alone_is_parked() -> None:
    memory = Memory(max_sequences=1, is_all_state=True)
    memory.warm(STEM)
    memory.warm([7] * 20)
    assert memory.warm([*STEM, 1]) == 40
    allocation = memory.begin([*STEM, 1, 2, 3])
    memory.cache.discard(allocation.seq_id)
    assert memory.warm([*STEM, 1, 2, 3, 4]) == 43


def test_cells_and_a_state_are_parked_together() -> None:
    memory = Memory(num_host_cache_tokens=1000, max_sequences=1)
    turn = [*STEM, END]
    memory.warm([*turn, 1, 2, 3])
    memory.warm([7] * 60)
    # Where the turn ended is as good as in cells.
    assert memory.warm([*turn, 4]) == 41
    memory.warm([8] * 60)
    assert memory.warm([*turn, 4, 5]) == 42
    allocation = memory.begin([*turn, 4, 5, 6])
    memory.cache.discard(allocation.seq_id)
    assert memory.warm([*turn, 4, 5, 6, 7]) == 44


def test_a_state_counts_in_the_host_cache() -> None:
    """As large as the cells here, so that there is room for two of forty tokens in two hundred."""
    memory = Memory(num_host_cache_tokens=200, max_sequences=1)
    for head in range(4):
        memory.warm([head] * 40)
    assert memory.cache.num_offloaded_tokens == 80


def test_checkpoints_that_do_not_fit_are_not_tried_again() -> None:
    memory = Memory(capacity=100)
    before = memory.cache.shares_prefixes
    memory.warm([*STEM, END, 1])
    assert (before, memory.cache.shares_prefixes) == (True, False)
    memory.warm([*STEM, END, 2])
    assert memory.context.num_saved == 1


def test_no_memory_for_a_checkpoint_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory()

    def fail(_states: FakePartialStates, _seq_id: int) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(FakePartialStates, "save", fail)
        memory.warm([*STEM, END, 1])
    assert memory.warm([*STEM, END, 2]) == 0
    assert memory.warm([*STEM, END, 3]) == 41


@pytest.mark.parametrize("fails", ["fork", "rewind"])
def test_what_cannot_be_brought_back_is_computed(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window may find no room; the sequence is empty then."""
    memory = Memory(max_sequences=1 if fails == "rewind" else 8)

    def refuse(_states: FakePartialStates, *args: object) -> bool:
        memory.context.remove_sequence(int(args[fails == "fork"]))  # type: ignore[call-overload]
        return False

    memory.warm([*STEM, END, 1])
    monkeypatch.setattr(FakePartialStates, fails, refuse)
    assert memory.warm([*STEM, END, 2]) == 0


def test_a_window_that_has_moved_on_is_brought_back() -> None:
    context = FakeContext(sliding_window=4, keeps_windows=True, can_checkpoint=True)
    memory = Memory()
    memory.context, memory.cache = context, KVCache(context, 0, 0, 1 << 20, {END})
    memory.warm([*STEM, END, *range(20)])
    assert memory.warm([*STEM, END, *range(50, 70)]) == 41
    # Within the window of its end nothing is lost yet, so that no checkpoint is needed.
    assert memory.cache.checkpoints.num_used == 1
    assert memory.warm([*STEM, END, *range(50, 70), 1]) == 61
    assert memory.cache.checkpoints.num_used == 1


def test_clearing_forgets_checkpoints() -> None:
    memory = Memory()
    memory.warm([*STEM, END, 1])
    memory.cache.clear()
    assert (memory.cache.checkpoints.num_kept, memory.cache.checkpoints.num_bytes) == (0, 0)
    assert memory.warm([*STEM, END, 2]) == 0
