"""Prefixes that outlive their engine: what is computed again, what is written, and who gets it."""

import random
import threading

import pytest
from caravan.engine import disk_tier
from caravan.engine.kv.disk import disk_cache
from caravan.engine.kv.disk.folder import ChunkFolder
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, mixed_requests, request
from tests.engine.lives import SIZE, Lives, rest
from tests.fakes import FakeContext
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("either_attention")

PROMPT = [number % 200 for number in range(0, 700, 7)]


def retold(harness: Harness, *requests: GenerationRequest) -> int:
    """How many tokens of prompts and answers are computed for these."""
    before = harness.context.num_decoded
    harness.run(requests)
    return harness.context.num_decoded - before


def test_it_may_be_given_up_before_each_text_that_rests(lives: Lives) -> None:
    """Also where all of them are on the disk: looking through long ones takes a while."""
    engine = lives.begin()
    for number in range(4):
        engine.run([request(str(number), [number, *PROMPT], max_tokens=1)])
    rest(engine)
    num_written = lives.num_files
    pauses = list(engine.engine._disk.rest())
    assert lives.num_files == num_written
    # Two times to wait for, and after each of them a moment for each text.
    assert pauses.count(0.0) == 2 * 4


def test_after_a_restart_only_the_last_token_of_a_known_prompt_is_computed(lives: Lives) -> None:
    first = lives.begin()
    told = first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin()
    assert retold(second, request("r", PROMPT, max_tokens=1)) == 1
    assert second.texts() == told
    assert second.cached_tokens("r") == len(PROMPT) - 1
    assert second.engine.stats().num_hits == {"cells": 0, "parked": 0, "disk": len(PROMPT) - 1}
    assert retold(second, request("again", PROMPT, max_tokens=1)) == 1
    assert second.engine.stats().num_hits["cells"] == len(PROMPT) - 1


def test_the_end_of_an_engine_writes_what_was_not_written(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT)])
    assert lives.num_files == 0
    first.engine._disk.close(is_sound=True)
    assert lives.num_files > 0
    assert retold(lives.begin(), request("r", PROMPT, max_tokens=1)) == 1


def test_memory_that_cannot_be_trusted_is_not_written(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT)])
    first.engine._disk.close(is_sound=False)
    assert lives.num_files == 0


def test_a_conversation_goes_on_where_it_was(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=30, ignore_eos=True)])
    known = first.engine._kv_cache._tree.num_cells
    rest(first)
    answer = [token for token, _ in next(iter(first.context.cells.values()))][len(PROMPT) :]
    second = lives.begin()
    grown = [*PROMPT, *answer, *range(20)]
    assert retold(second, request("next", grown, max_tokens=1)) == 20
    assert known == len(PROMPT) + len(answer)
    files = lives.num_files
    rest(second)
    lives.end()
    # A chunk has grown, and one or two have come.
    assert files < lives.num_files <= files + 2


def test_a_prompt_may_part_from_what_is_known_anywhere(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    for length in (40, 41, 47, 48, 63, 64, 65, len(PROMPT) - 1):
        tail = [201] * 10
        cold = Harness().run([request("r", [*PROMPT[:length], *tail])])
        second = lives.begin()
        assert second.run([request("r", [*PROMPT[:length], *tail])]) == cold
        assert second.cached_tokens("r") == length


def test_what_is_in_cells_is_not_read(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin()
    second.run([request("a", PROMPT[:50], max_tokens=1)])
    second.run([request("b", PROMPT, max_tokens=1)])
    hits = second.engine.stats().num_hits
    assert hits == {"cells": 50, "parked": 0, "disk": 49 + 49}


def test_a_few_tokens_are_quicker_computed(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin()
    second.run([request("r", [*PROMPT[:20], 201], max_tokens=1)])
    assert second.cached_tokens("r") == 0
    second.run([request("short", range(63), max_tokens=1)])
    files = lives.num_files
    rest(second)
    lives.end()
    assert lives.num_files == files


def test_many_with_one_prefix_read_it_once(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin()
    # Whole chunks: for a few tokens more, nobody waits.
    shared = 6 * SIZE
    asked = [request(f"r{i}", [*PROMPT[:shared], i, i], max_tokens=1) for i in range(8)]
    assert retold(second, *asked) == 8 * 2
    stats = second.engine.stats()
    assert stats.num_disk_tokens_read == shared
    assert stats.num_hits["disk"] == shared
    assert stats.num_cached_tokens == 8 * shared


def test_a_step_fills_no_more_than_it_may(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_tier, "_STEP_SECONDS", 0.0)
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(end_weight=0.0))
    second.engine.submit(request("stream", [5, 5, 5], max_tokens=300))
    second.engine.turn()
    second.engine.submit(request("r", PROMPT, max_tokens=1))
    filled = []
    while not second.reasons().get(("r", 0)):
        tree = second.engine._kv_cache._tree
        before, texts = tree.num_cells, len(second.outputs)
        for sequence in second.engine._scheduler.running:
            if sequence.filling is not None:
                sequence.filling.wait(PATIENCE)
        second.engine.turn()
        filled.append(tree.num_cells - before)
        assert len(second.outputs) > texts, "the stream has its token in each step"
    # A chunk, the stream's token, and in the end the last token of the prompt.
    assert max(filled) == SIZE + 1
    assert second.cached_tokens("r") == len(PROMPT) - 1


def test_a_damaged_file_costs_what_it_held(lives: Lives) -> None:
    first = lives.begin()
    told = first.run([request("r", PROMPT)])
    rest(first)
    lives.end()
    path = max(lives.base.rglob("*.kv"))
    path.write_bytes(path.read_bytes()[:-1])
    second = lives.begin()
    assert second.run([request("r", PROMPT)]) == told
    assert second.engine.stats().num_disk_bad_files == 1
    rest(second)
    assert retold(lives.begin(), request("r", PROMPT, max_tokens=1)) == 1


def test_what_cells_cannot_be_filled_with_is_removed(lives: Lives) -> None:
    disk = lives.opened()
    for chunk in disk.missing(PROMPT):
        context = FakeContext()
        context.add_cells(0, [0] * 8)
        disk.write(chunk, context.ranges.save(0, 7, 8))
    disk.drain(PATIENCE)
    harness = lives.begin()
    assert harness.run([request("r", PROMPT)]) == Harness().run([request("r", PROMPT)])
    lives.end()
    assert lives.num_files == 0


def test_what_rests_outside_of_cells_is_written(lives: Lives) -> None:
    first = lives.begin(FakeContext(num_cells=130))
    prompts = [[head, *PROMPT[:80]] for head in (1, 2)]
    for number, prompt in enumerate(prompts):
        first.run([request(f"r{number}", prompt, max_tokens=1)])
    assert first.engine.stats().num_offloaded_tokens == 81
    rest(first)
    second = lives.begin()
    assert retold(second, *[request(f"r{i}", p, max_tokens=1) for i, p in enumerate(prompts)]) == 2


def test_what_is_used_again_is_written_first(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("a", [*PROMPT, 1, 1], max_tokens=1)])
    first.run([request("b", [*PROMPT, 2, 2], max_tokens=1)])
    first.run([request("c", [9, *PROMPT], max_tokens=1)])
    pauses = first.engine._disk.rest()
    next(pauses)
    # One for each chunk, and one for each of two texts that are looked at before.
    for _ in range(len(PROMPT) // SIZE + 1 + 2):
        next(pauses)
    lives.end()
    second = lives.begin()
    assert retold(second, request("c", [9, *PROMPT], max_tokens=1)) == len(PROMPT) + 1
    assert retold(second, request("a", [*PROMPT, 3], max_tokens=1)) == 1


def test_one_that_leaves_while_it_is_filled_leaves_nothing_behind(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin()
    second.engine.submit(request("r", PROMPT))
    second.engine.turn()
    assert second.engine._scheduler.running[0].filling is not None
    second.engine.abort("r")
    second.finish()
    assert retold(second, request("again", PROMPT, max_tokens=1)) == 1


def test_a_disk_that_hangs_is_not_waited_for(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lives.begin()
    told = first.run([request("r", PROMPT)])
    rest(first)
    second = lives.begin()
    gate = threading.Event()
    read = ChunkFolder.read
    monkeypatch.setattr(ChunkFolder, "read", lambda *known: gate.wait(PATIENCE) and read(*known))
    monkeypatch.setattr(disk_cache, "_PATIENCE_SECONDS", 0.05)
    try:
        assert second.run([request("r", PROMPT)]) == told
        assert second.cached_tokens("r") == 0
        assert retold(second, request("again", [5, *PROMPT], max_tokens=1)) == len(PROMPT) + 1
    finally:
        gate.set()


def test_without_room_for_it_a_prompt_is_computed(lives: Lives) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(num_cells=150, end_weight=0.0), max_running=4)
    asked = [request(str(i), [*PROMPT[:60], i, i], max_tokens=60) for i in range(4)]
    cold = Harness(FakeContext(num_cells=4096, end_weight=0.0)).run(asked)
    assert second.run(asked) == cold


def test_what_cannot_be_cut_is_read_where_all_of_it_is_wanted(lives: Lives) -> None:
    first = lives.begin(FakeContext(can_cut=False))
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(can_cut=False))
    assert retold(second, request("whole", [*PROMPT, 1, 2], max_tokens=1)) == 2
    assert second.engine.stats().num_hits["disk"] == len(PROMPT)
    assert retold(second, request("part", [*PROMPT[:-1], 3], max_tokens=1)) == len(PROMPT)
    rest(second)
    third = lives.begin(FakeContext(can_cut=False))
    assert retold(third, request("longer", [*PROMPT, 1, 2, 3], max_tokens=1)) == 1
    assert retold(third, request("shorter", [*PROMPT, 4], max_tokens=1)) == 1


def test_what_cannot_be_cut_is_read_in_the_place_of_less(lives: Lives) -> None:
    first = lives.begin(FakeContext(can_cut=False))
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(can_cut=False))
    second.run([request("less", PROMPT[:50], max_tokens=1)])
    assert retold(second, request("more", [*PROMPT, 1], max_tokens=1)) == 1
    assert second.cached_tokens("more") == len(PROMPT)
    assert second.engine.stats().num_hits == {"cells": 0, "parked": 0, "disk": len(PROMPT)}


@pytest.mark.parametrize("can_cut", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_with_a_disk_equals_without(lives: Lives, seed: int, can_cut: bool) -> None:
    requests = mixed_requests(seed, 24)
    rng = random.Random(seed)
    cold = Harness(max_running=3).run(requests)
    for _ in range(3):
        context = FakeContext(num_cells=rng.choice([300, 600, 4096]), can_cut=can_cut)
        harness = lives.begin(context, max_running=3)
        pending = list(requests)

        def arrive(
            _turn: int, harness: Harness = harness, pending: list[GenerationRequest] = pending
        ) -> None:
            while pending and (harness.engine.is_idle or rng.random() < 0.3):
                harness.engine.submit(pending.pop(rng.randrange(len(pending))))

        assert harness.finish(arrive) == cold
        rest(harness)
    assert not can_cut or harness.engine.stats().num_hits["disk"] > 0
