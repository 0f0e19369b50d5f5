"""The cache on the disk without an engine: written by one process, read by the next."""

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from caravan.config.engine_config import EngineConfig
from caravan.config.llama_config import ContextOptions
from caravan.engine.kv.disk import disk_cache, folder
from caravan.engine.kv.disk.chunks import chunks_of
from caravan.engine.kv.disk.disk_cache import DiskCache
from caravan.engine.kv.disk.folder import Body, ChunkFolder
from caravan.engine.kv.disk.opening import WITHOUT_EFFECT, fingerprint
from caravan.engine.kv.radix_tree import CacheScope
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from msgspec.structs import fields, replace

from tests.conftest import TinyModels
from tests.tiny_heads import write_long_positions
from tests.waiting import PATIENCE

ROOT = bytes(16)
SIZE = 8
TEXT = list(range(30))


@contextmanager
def opened(
    base: Path, root: bytes = ROOT, max_bytes: int = 1 << 30, *, keeps_private: bool = False
) -> Iterator[DiskCache]:
    cache = DiskCache(base, root, max_bytes, keeps_private=keeps_private, chunk_size=SIZE)
    yield cache
    cache.close(PATIENCE)


def body_of(start: int, size: int = 5000) -> Body:
    return np.full(size, start, np.uint8)


def write(cache: DiskCache, keys: list[int], size: int = 5000) -> None:
    for chunk in cache.missing(keys):
        cache.write(chunk, body_of(chunk.start, size))
    assert cache.drain(PATIENCE)


def read(cache: DiskCache, keys: list[int], start: int = 0) -> list[tuple[int, int]]:
    """From where to where pieces come, each with its own bytes."""
    reading, spans = cache.fetch(keys, start), []
    while not reading.is_over:
        reading.wait(PATIENCE)
        if (piece := reading.take()) is not None:
            assert np.array_equal(piece.body, body_of(piece.chunk.start))
            spans.append((piece.chunk.start, piece.end))
    return spans


def test_another_process_finds_what_was_written(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        write(cache, TEXT)
        assert cache.missing(TEXT) == []
        assert cache.counts.num_written_tokens == 30
    with opened(tmp_path) as cache:
        assert cache.num_known([*TEXT, 99]) == 30
        assert read(cache, [*TEXT, 99]) == [(0, 8), (8, 16), (16, 24), (24, 30)]
        assert read(cache, [*TEXT[:19], 99], start=10) == [(8, 16), (16, 19)]
        assert cache.counts.num_read_tokens == 46
        assert cache.counts.num_bytes == 4 * 8192


def test_what_is_read_ahead_is_bounded_for_all_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_cache, "_MAX_AHEAD_BYTES", 3 * 5000)
    texts = [[*TEXT, 100 + number] for number in range(4)]
    with opened(tmp_path) as cache:
        for text in texts:
            write(cache, text)
        read_side_by_side(cache, texts)
    with opened(tmp_path) as cache:
        read_side_by_side(cache, texts)
        for reading in [cache.fetch(text, 0) for text in texts]:
            reading.stop()
        assert cache._num_ahead_bytes == 0


def read_side_by_side(cache: DiskCache, texts: list[list[int]]) -> None:
    readings = [cache.fetch(text, 0) for text in texts]
    ends: list[list[int]] = [[] for _ in texts]
    while not all(reading.is_over for reading in readings):
        assert 0 < cache._num_ahead_bytes <= 3 * 5000
        assert any(reading.wait(PATIENCE) for reading in readings)
        for reading, found in zip(readings, ends, strict=True):
            if (piece := reading.take()) is not None:
                found.append(piece.end)
    assert ends == [[8, 16, 24, 31]] * len(texts)
    assert cache._num_ahead_bytes == 0


def test_what_is_larger_than_may_be_read_ahead_comes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_cache, "_MAX_AHEAD_BYTES", 1)
    with opened(tmp_path) as cache:
        write(cache, TEXT)
        assert len(read(cache, TEXT)) == 4


@pytest.mark.parametrize("slowest", [1.0, 1e9])
def test_a_large_chunk_may_take_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slowest: float
) -> None:
    monkeypatch.setattr(disk_cache, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(disk_cache, "_SLOWEST", slowest)
    begun, gate, read_file = threading.Event(), threading.Event(), ChunkFolder.read

    def slowly(folder: ChunkFolder, name: bytes) -> Body | None:
        begun.set()
        assert gate.wait(PATIENCE)
        return read_file(folder, name)

    monkeypatch.setattr(ChunkFolder, "read", slowly)
    with opened(tmp_path) as cache:
        write(cache, TEXT)
        reading = cache.fetch(TEXT, 0)
        assert begun.wait(PATIENCE)
        time.sleep(0.001)
        assert reading.is_over is cache.is_stuck is (slowest > 1)
        gate.set()
        reading.stop()


def test_what_was_computed_otherwise_is_not_found(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        write(cache, TEXT)
    with opened(tmp_path, root=bytes(15) + b"\1") as cache:
        assert cache.num_known(TEXT) == 0


def test_a_damaged_chunk_ends_what_can_be_read(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        write(cache, TEXT)
        second = list(chunks_of(TEXT, ROOT, SIZE))[1]
        path = tmp_path / ROOT.hex() / f"{second.name.hex()}.kv"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        assert read(cache, TEXT) == [(0, 8)]
        assert cache.num_known(TEXT) == 8
        assert cache.counts.num_bad_files == 1
        write(cache, TEXT)
        assert len(read(cache, TEXT)) == 4


def test_a_chunk_that_cannot_be_read_now_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many files are open, for instance: that says nothing of the chunk."""

    def fail(_path: Path) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with opened(tmp_path) as cache:
        write(cache, TEXT)
        with monkeypatch.context() as patch:
            patch.setattr(folder, "_opened", fail)
            assert read(cache, TEXT) == []
        assert cache.num_known(TEXT) == len(TEXT)
        assert len(read(cache, TEXT)) == 4
        assert cache.counts.num_bad_files == 0


def test_a_chunk_that_another_process_has_removed_is_just_not_there(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        write(cache, TEXT)
        for path in tmp_path.rglob("*.kv"):
            path.unlink()
        assert read(cache, TEXT) == []
        assert cache.counts.num_bad_files == 0


def test_what_makes_room_is_known_no_longer(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=4 * 8192) as cache:
        write(cache, TEXT)
        write(cache, [7] * 8)
        assert cache.num_known([7] * 8) == 8
        assert 0 < cache.num_known(TEXT) < 30
        assert len(read(cache, TEXT)) * 8 == cache.num_known(TEXT)


def test_what_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    with opened(tmp_path, max_bytes=3 * 8192) as cache:
        write(cache, TEXT, size=100_000)
        assert cache.num_known(TEXT) == 0
        assert cache.counts.num_written_tokens == 0
        assert list(tmp_path.rglob("*.kv")) == []


def test_what_is_private_goes_where_it_is_kept_no_longer(tmp_path: Path) -> None:
    mine = CacheScope("salt", 10).keys(TEXT)
    with opened(tmp_path, keeps_private=True) as cache:
        write(cache, mine)
        assert cache.num_known(mine) == 30
        assert cache.num_known(TEXT) == 10
    with opened(tmp_path) as cache:
        assert cache.num_known(mine) == 8
    assert sum(1 for _ in tmp_path.rglob("*.kv")) == 1


def test_what_cells_hold_depends_on_weights_and_build(
    tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EngineConfig(model_path=str(tiny_models["llama"]))
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(tiny_models["llama"].read_bytes())
    usual = fingerprint(config)
    same = replace(config, model_path=str(copy), num_cells=99, num_threads=3, memory_budget=1)
    # That of what memory is left at a start.
    same = replace(same, checkpoint_bytes=1 << 20)
    assert fingerprint(same) == usual
    (tmp_path / "happy").write_bytes(b"1")
    steered = replace(config, context=ContextOptions(control_vectors=((str(tmp_path / "happy"), 0.5),)))
    others = [
        fingerprint(steered),
        fingerprint(replace(config, context=ContextOptions(cache_type_k="q8_0"))),
        fingerprint(replace(config, model_path=str(tiny_models["qwen2"]))),
        fingerprint(replace(config, use_extra_buffers=False)),
    ]
    (tmp_path / "happy").write_bytes(b"2")
    others.append(fingerprint(steered))
    with monkeypatch.context() as patch:
        patch.setenv("LLAMA_ATTN_ROT_DISABLE", "1")
        others.append(fingerprint(config))
    monkeypatch.setattr(library, "build", lambda: "another")
    others.append(fingerprint(config))
    assert usual not in others
    assert len(set(others)) == 7


def test_what_cells_hold_may_depend_on_how_many_there_are(tmp_path: Path) -> None:
    """Which factors turn positions is decided by the length of the whole context."""
    path = tmp_path / "long.gguf"
    write_long_positions(path, 300)
    model, known = Model(path), []
    for num_cells in (256, 257, 512, 1024):
        context = Context(model, num_cells=num_cells, batch_size=64, max_sequences=1, num_threads=1)
        batch = Batch(64)
        batch.add(0, 0, TEXT, wants_logits=True)
        assert context.decode(batch) is DecodeStatus.OK
        config = EngineConfig(model_path=str(path), num_cells=num_cells)
        known.append((fingerprint(config), context.logits().tobytes()))
        context.close()
    model.close()
    assert len(set(known)) == len({name for name, _ in known}) == 2
    assert known[0] != known[1] == known[2] == known[3]


def test_options_without_effect_on_cells_are_options() -> None:
    assert {field.name for field in fields(EngineConfig)} >= WITHOUT_EFFECT
