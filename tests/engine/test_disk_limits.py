"""What requests do not see of the disk: that it fails or is slow, and what is counted of it."""

import shutil
import threading
import time
from pathlib import Path

import pytest
from caravan.engine import disk_tier
from caravan.engine.kv.disk import disk_cache
from caravan.engine.kv.disk.chunks import Chunk
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.kv.disk.folder import Body, ChunkFolder

from tests.engine.harness import Harness, request
from tests.engine.lives import SIZE, Lives, rest
from tests.engine.test_background import beneath
from tests.engine.test_disk_tier import PROMPT, retold
from tests.fakes import FakeContext
from tests.waiting import PATIENCE

pytestmark = pytest.mark.usefixtures("either_attention")


def test_nothing_spins_while_background_work_waits_for_the_disk_too(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(end_weight=0.0))
    second.engine.submit(beneath(request("background", [5, 5, 5], max_tokens=300)))
    second.engine.turn()
    gate = threading.Event()
    read = ChunkFolder.read
    monkeypatch.setattr(ChunkFolder, "read", lambda *known: gate.wait(PATIENCE) and read(*known))
    monkeypatch.setattr(disk_tier, "_WAIT_SECONDS", 0.02)
    try:
        second.engine.submit(request("r", PROMPT, max_tokens=1))
        second.engine.turn()
        began = time.perf_counter()
        for _ in range(3):
            second.engine.turn()
        assert time.perf_counter() - began >= 3 * 0.02
    finally:
        gate.set()
    second.finish()
    assert second.cached_tokens("r") == len(PROMPT) - 1


def test_a_disk_that_fails_is_not_tried_with_everything(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Chunk] = []
    write = ChunkFolder.write

    def counted(folder: ChunkFolder, chunk: Chunk, body: Body, used: int | None = None) -> bool:
        tried.append(chunk)
        return write(folder, chunk, body, used)

    monkeypatch.setattr(ChunkFolder, "write", counted)
    monkeypatch.setattr(disk_cache, "_MAX_PENDING_BYTES", 1)
    first = lives.begin()
    first.run([request("r", PROMPT, max_tokens=1)])
    shutil.rmtree(lives.base)
    for count in (1, 2):
        rest(first)
        assert len(tried) == count
    lives.base.mkdir()
    rest(first)
    assert len(tried) == 2 + -(-len(PROMPT) // SIZE)
    assert retold(lives.begin(), request("r", PROMPT, max_tokens=1)) == 1


def test_what_was_used_last_stays_where_not_all_has_room(tmp_path: Path) -> None:
    texts = {"older": PROMPT, "newer": [token + 1 for token in PROMPT]}
    disk = DiskCache(tmp_path, bytes(16), 8 * 4096, chunk_size=SIZE)
    harness = Harness(disk=disk)
    for name, text in texts.items():
        harness.run([request(name, text, max_tokens=1)])
    counts = set()
    for _ in range(3):
        rest(harness)
        assert disk.drain(PATIENCE)
        counts.add(disk.counts.num_written_tokens)
        assert disk.num_known(texts["newer"]) == len(PROMPT)
        assert disk.num_known(texts["older"]) == SIZE
    assert len(counts) == 1, "nothing is written again"
    disk.close()


def test_what_cannot_be_cut_is_read_once_for_all_who_go_on_from_it(lives: Lives) -> None:
    first = lives.begin(FakeContext(can_cut=False))
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(can_cut=False, can_checkpoint=True))
    for tail in ([1, 2], [3, 4, 5], [6]):
        assert retold(second, request(f"r{tail}", [*PROMPT, *tail], max_tokens=1)) == len(tail)
    assert second.engine.stats().num_hits == {"cells": 2 * len(PROMPT), "parked": 0, "disk": len(PROMPT)}


def test_what_is_read_in_the_place_of_what_was_parked_counts_once(lives: Lives) -> None:
    first = lives.begin(FakeContext(can_cut=False))
    first.run([request("r", PROMPT, max_tokens=1)])
    rest(first)
    second = lives.begin(FakeContext(can_cut=False, can_checkpoint=True))
    second.run([request("less", PROMPT[:50], max_tokens=1)])
    assert second.engine._kv_cache.evict_one()
    second.run([request("more", [*PROMPT, 1], max_tokens=1)])
    assert second.cached_tokens("more") == len(PROMPT)
    assert second.engine.stats().num_hits == {"cells": 0, "parked": 0, "disk": len(PROMPT)}
