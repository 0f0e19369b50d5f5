"""Chunks that leave whole tiles, and streams that do not share theirs with prompts."""

import itertools

import pytest
from caravan.engine.prefill_budget import TILE
from caravan.engine.prompt_chunks import chunk_size
from caravan.engine.scheduler import Scheduler
from caravan.engine.work import Work

from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import FakeContext


@pytest.mark.parametrize("budget", [64, 128, 200, 512])
@pytest.mark.parametrize("num_missing", [1200, 700, 129])
def test_what_is_left_of_a_prompt_is_whole_tiles(num_missing: int, budget: int) -> None:
    computed = 0
    while num_missing > budget:
        size = chunk_size(num_missing, computed, budget, may_exceed=True)
        assert 0 < size <= budget + TILE
        num_missing, computed = num_missing - size, computed + size
        assert num_missing % TILE == 0
    assert chunk_size(num_missing, computed, budget, may_exceed=True) == num_missing


def test_odd_tokens_come_first_where_there_are_few_cells_and_beside_a_tile_where_there_are_many() -> None:
    assert chunk_size(100, 0, 64, may_exceed=True) == 36
    assert chunk_size(100, 800, 64, may_exceed=True) == 100
    assert chunk_size(100, 800, 64, may_exceed=False) == 36


def test_less_than_a_tile_is_taken_as_it_is() -> None:
    assert chunk_size(100, 0, 16, may_exceed=True) == 16
    assert chunk_size(100, 0, 0, may_exceed=True) == 0


def count_mixed(monkeypatch: pytest.MonkeyPatch, scheduler: Scheduler) -> list[list[Work]]:
    """Collects the steps with tiles in which a stream has a row beside a prompt's."""
    mixed: list[list[Work]] = []
    schedule = scheduler.schedule

    def note(**beside: bool) -> list[Work]:
        work = schedule(**beside)
        kinds = {item.sequence.is_streaming for item in work}
        if len(kinds) == 2 and sum(item.num_tokens for item in work) >= TILE:
            mixed.append(work)
        return work

    monkeypatch.setattr(scheduler, "schedule", note)
    return mixed


@pytest.mark.parametrize("has_tiles", [True, False])
def test_streams_and_large_chunks_take_turns(monkeypatch: pytest.MonkeyPatch, has_tiles: bool) -> None:
    monkeypatch.setattr(FakeContext, "attention_has_tiles", has_tiles)
    harness = Harness(FakeContext(end_weight=0.0), batch_size=128, context_size=2000)
    mixed = count_mixed(monkeypatch, harness.engine._scheduler)
    harness.engine.submit(request("stream", [1, 2, 3], max_tokens=60))
    for _ in range(3):
        harness.engine.turn()
    harness.engine.submit(request("long", [7] * 900, max_tokens=2))
    harness.finish()
    assert bool(mixed) is not has_tiles


@pytest.mark.parametrize("seed", range(3))
def test_texts_do_not_depend_on_turns(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Long prompts come while others stream, and every other one goes on with what another has computed."""
    requests = mixed_requests(seed, 30, longest=400)
    expected = Harness(context_size=1000).run(requests)
    monkeypatch.setattr(FakeContext, "attention_has_tiles", True)
    harness = Harness(batch_size=128, context_size=1000)
    pending, kinds = list(requests), list[set[bool]]()
    schedule = harness.engine._scheduler.schedule

    def note(**beside: bool) -> list[Work]:
        work = schedule(**beside)
        kinds.append({item.sequence.is_streaming for item in work})
        return work

    monkeypatch.setattr(harness.engine._scheduler, "schedule", note)
    assert harness.finish(lambda _turn: harness.engine.submit(pending.pop()) if pending else None) == expected
    alternations = sum(before != after for before, after in itertools.pairwise(kinds))
    assert alternations > 20


@pytest.mark.usefixtures("either_attention")
def test_no_prompt_starves_behind_shorter_ones() -> None:
    harness = Harness(FakeContext(end_weight=0.0), batch_size=64, context_size=2000, max_running=8)
    harness.engine.submit(request("stream", [1], max_tokens=500))
    harness.engine.submit(request("long", [7] * 600, max_tokens=1))
    for number in range(100):
        harness.engine.submit(request(f"short{number}", [number] * 100, max_tokens=1))
        harness.engine.turn()
    assert ("long", 0) in harness.reasons()
    harness.finish()
