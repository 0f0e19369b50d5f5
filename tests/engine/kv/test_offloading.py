"""Idle sequences outside of the cells, and their way back."""

from functools import partial

import pytest
from caravan.engine.kv.allocation import Allocation
from caravan.engine.kv.host_cache import HostKVCache, OffloadedSequence
from caravan.engine.kv.kv_cache import KVCache
from caravan.engine.kv.radix_tree import CacheScope
from caravan.engine.params import SamplingParams
from caravan.llama.batch import Batch

from tests.conftest import TinyModels
from tests.engine.harness import Harness, request
from tests.engine.real_harness import RealHarness, Workload
from tests.fakes import FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

STEM = list(range(40))
MANY_STEPS = 100


class Memory:
    """A cache over a fake context, and runs through it."""

    def __init__(self, num_cells: int = 4096, max_sequences: int = 16) -> None:
        self.context = FakeContext(num_cells, max_sequences)
        self.cache = KVCache(self.context, None)

    def begin(self, tokens: list[int]) -> Allocation:
        """Compute a prompt and keep it running."""
        allocation = self.cache.allocate(tokens, CacheScope())
        assert allocation is not None
        batch = Batch(1000)
        start = allocation.num_cached_tokens
        batch.add(allocation.seq_id, start, tokens[start:], wants_logits=True)
        self.context.decode(batch)
        self.cache.commit(allocation.seq_id, tokens[start:])
        self.check()
        return allocation

    def warm(self, tokens: list[int]) -> None:
        """Compute a prompt and leave it idle."""
        self.cache.retire(self.begin(tokens).seq_id)

    def pass_time(self) -> None:
        """Many steps of others."""
        for _ in range(MANY_STEPS):
            self.cache.offload_idle()
        self.check()

    def check(self) -> None:
        """The cells counted are those in use."""
        assert self.cache.num_cells_used == self.context.num_cells_used
        assert self.cache.audit() == []


def test_an_idle_sequence_is_offloaded_while_others_run_and_comes_back() -> None:
    memory = Memory()
    memory.warm([*STEM, 1, 2])
    memory.begin([9, 9, 9])
    memory.pass_time()
    assert (memory.cache.num_cells_used, memory.cache.num_offloaded_tokens) == (3, 42)
    assert memory.begin([*STEM, 1, 2, 3]).num_cached_tokens == 42
    assert memory.cache.num_offloaded_tokens == 0


def test_an_idle_sequence_stays_for_the_next_turn() -> None:
    memory = Memory()
    memory.warm(STEM)
    memory.cache.offload_idle()
    assert memory.cache.num_offloaded_tokens == 0


def test_what_an_offloaded_sequence_shares_is_in_cells_once() -> None:
    memory = Memory()
    memory.begin([*STEM, 1])
    memory.warm([*STEM, *range(100, 150)])
    memory.pass_time()
    assert memory.cache.num_cells_used == 41
    assert memory.begin([*STEM, *range(100, 150), 7]).num_cached_tokens == 90
    assert memory.cache.num_cells_used == 41 + 51


def test_a_sequence_that_hardly_has_cells_of_its_own_stays() -> None:
    memory = Memory()
    memory.begin([*STEM, 1])
    memory.warm([*STEM, 2])
    memory.pass_time()
    assert memory.cache.num_offloaded_tokens == 0


def test_a_few_tokens_do_not_bring_a_sequence_back() -> None:
    memory = Memory()
    memory.warm(STEM)
    memory.begin([9])
    memory.pass_time()
    assert memory.begin([*STEM[:20], 99]).num_cached_tokens == 0
    assert memory.cache.num_offloaded_tokens == 40


def test_a_sequence_comes_back_only_where_running_ones_leave_room() -> None:
    memory = Memory(num_cells=100)
    memory.warm([*STEM, *STEM])
    memory.begin([9, 9])
    memory.pass_time()
    memory.begin([7] * 30)
    assert memory.begin([*STEM, 8]).num_cached_tokens == 0
    assert memory.cache.num_offloaded_tokens == 80


def test_memory_pressure_offloads_what_it_evicts() -> None:
    memory = Memory(max_sequences=1)
    memory.warm(STEM)
    memory.warm([9] * 40)
    assert memory.begin([*STEM, 1]).num_cached_tokens == 40


def test_what_is_longer_than_the_host_cache_is_not_offloaded() -> None:
    assert HostKVCache(100).takes(100, 100)
    assert not HostKVCache(100).takes(101, 101)


def test_a_longer_sequence_takes_the_place_of_its_beginning() -> None:
    memory, host_cache = Memory(), HostKVCache(1000)
    state = memory.context.save_sequence(memory.begin([1]).seq_id)
    host_cache.offload(OffloadedSequence(STEM, (state,)))
    assert not host_cache.needs(STEM[:30])
    assert host_cache.needs([*STEM[:30], 7])
    host_cache.offload(OffloadedSequence([*STEM, 1], (state,)))
    assert host_cache.num_tokens == 41
    assert host_cache.match([*STEM, 1, 2]).length == 41


def test_a_full_host_cache_forgets_what_was_offloaded_first() -> None:
    memory, host_cache = Memory(), HostKVCache(100)
    state = memory.context.save_sequence(memory.begin([1]).seq_id)
    for head in (1, 2, 3):
        host_cache.offload(OffloadedSequence([head] * 40, (state,)))
    assert host_cache.num_tokens == 80
    assert [host_cache.match([head] * 40).length for head in (1, 2, 3)] == [0, 40, 40]


def test_the_preempted_are_not_computed_again() -> None:
    harness = Harness(FakeContext(num_cells=200, end_weight=0.0), max_running=4, context_size=200)
    harness.run([request(str(i), [i] * 40, max_tokens=60) for i in range(4)])
    assert harness.engine.stats().num_preemptions > 0
    assert harness.context.num_decoded < 4 * (40 + 60) + 60


@pytest.mark.usefixtures("exact_numbers")
@pytest.mark.parametrize("architecture", ["llama", "lfm2"])
def test_fetched_equals_computed(tiny_models: TinyModels, architecture: str) -> None:
    """On llama.cpp's memory: turns of many conversations, whose pauses are longer than idle ones stay."""
    harness = RealHarness(tiny_models[architecture], num_cells=512)
    workload = Workload(tiny_models[architecture], 21)
    params = partial(workload.params, 12)
    histories = [workload.tokens(40 + index) for index in range(12)]
    fetched = 0
    for _ in range(3):
        for index, history in enumerate(histories):
            grown = workload.request(partial(list.__add__, history, workload.tokens(5)), params)
            other = workload.request(
                partial(workload.tokens, 3), partial(SamplingParams, max_tokens=20, seed=index)
            )
            before = harness.engine.stats().num_offloaded_tokens
            harness.run([grown, other])
            fetched += harness.engine.stats().num_offloaded_tokens < before
            histories[index] = [*grown.token_ids, *workload.answers[grown.id]]
    assert harness.texts() == workload.expected
    assert fetched > 0
    harness.check_cells()
    workload.close()
    harness.close()
