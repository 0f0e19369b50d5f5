"""Cells of every type that llama.cpp takes, against its C API with the same settings and nothing of ours
in between.
"""

import logging
import re
from typing import Any, get_args

import llama_cpp
import numpy as np
import pytest
from caravan.config.llama_config import ContextOptions
from caravan.config.llama_options import QUANTIZED, CacheType
from caravan.llama import library
from caravan.llama.cache_types import NUMBERS, block_size, row_bytes
from caravan.llama.context import Context
from caravan.llama.gguf_header import read_header
from caravan.llama.model import Model
from caravan.sizing.kv_bytes import bytes_per_cell
from caravan.sizing.memory_estimate import estimate

from tests.llama.native import NativeContext, Run
from tests.llama.option_contexts import OTHER, PROMPT, Heads, Opened, bare, compute

# What a saved sequence has beside keys and values: numbers of positions and sequences.
POSITION = 4


def test_every_type_that_llama_cpp_takes_is_offered() -> None:
    assert set(get_args(CacheType)) == NUMBERS.keys()
    assert {name for name in NUMBERS if block_size(name) > 1} == set(QUANTIZED)
    native = llama_cpp.llama_cpp._lib
    native.ggml_row_size.restype = llama_cpp.ctypes.c_size_t
    native.ggml_type_name.restype = llama_cpp.ctypes.c_char_p
    for name, number in NUMBERS.items():
        assert native.ggml_type_name(number).decode() == name
        assert row_bytes(name, 320) == native.ggml_row_size(number, llama_cpp.ctypes.c_int64(320))


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", NUMBERS)
def test_cells_give_what_llama_cpp_gives_with_them(
    heads: Heads, with_options: Opened, kind: str, size: int
) -> None:
    path, number = heads.by_size[size], NUMBERS[kind]
    found = compute(with_options(path, cache_type_k=kind, cache_type_v=kind), (0, 0, PROMPT))
    np.testing.assert_array_equal(found, bare(path, type_k=number, type_v=number))
    # Flash attention has float32 become float16 before it computes.
    usual = compute(with_options(path), (0, 0, PROMPT))
    assert np.array_equal(found, usual) == (kind in ("f16", "f32"))
    assert np.abs(found - usual).mean() < 3


@pytest.mark.skipif(not library.has_runs_of_rows(), reason="another build of llama.cpp, or no AVX2")
@pytest.mark.parametrize("kind", ["f16", "f32", "bf16", "q8_0", "q5_1", "q4_0"])
def test_company_changes_nothing_with_cells_of_one_row_at_a_time(
    heads: Heads, with_options: Opened, kind: str
) -> None:
    """ggml's attention has tiles for float32 alone then; sequences among others' cells, in other batches."""
    kinds = {"cache_type_k": kind, "cache_type_v": kind}
    alone = with_options(heads.by_size[32], **kinds)
    assert not alone.has_tiles
    compute(alone, (0, 0, PROMPT[:50]))
    (expected,) = compute(alone, (0, 50, PROMPT[50:]))
    among = with_options(heads.by_size[32], **kinds)
    compute(among, (3, 0, OTHER[:7]), (0, 0, PROMPT[:13]), (5, 0, OTHER[:40]))
    compute(among, (5, 40, OTHER[40:]), (0, 13, PROMPT[13:69]))
    found = compute(among, (3, 7, OTHER[7:9]), (0, 69, PROMPT[69:]), (5, 60, OTHER[:1]))
    np.testing.assert_array_equal(found[1], expected)


def test_the_scheduler_is_told_of_tiles(
    heads: Heads, with_options: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ggml's own attention, which has some for half floats alone."""
    options: tuple[dict[str, Any], ...] = (
        {},
        {"cache_type_k": "f32"},
        {"cache_type_v": "bf16"},
        {"cache_type_k": "q8_0"},
        {"flash_attn": "off"},
    )
    monkeypatch.setattr(library, "has_gpu", lambda: False)
    for is_ours in (True, False):
        monkeypatch.setattr(library, "has_runs_of_rows", lambda is_ours=is_ours: is_ours)
        tiles = [with_options(heads.by_size[32], **chosen).has_tiles for chosen in options]
        assert tiles == [not is_ours, not is_ours, False, False, False]


@pytest.mark.parametrize("options", [{"cache_type_k": "q8_0", "cache_type_v": "q4_0"}, {"flash_attn": "off"}])
def test_cells_of_any_type_are_shared_saved_and_cut(
    heads: Heads, with_options: Opened, options: dict[str, str]
) -> None:
    context = with_options(heads.by_size[64], **options)
    (expected,) = compute(context, (0, 0, PROMPT))
    context.copy_sequence(0, 1, 60)
    state = context.save_sequence(0)
    context.remove_sequence(0)
    near: dict[str, Any] = {"rtol": 0, "atol": 1e-4}
    np.testing.assert_allclose(compute(context, (1, 60, PROMPT[60:]))[0], expected, **near)
    context.remove_sequence(1)
    compute(context, (2, 0, OTHER))
    assert context.restore_sequence(3, state)
    context.truncate_sequence(3, 69)
    np.testing.assert_allclose(compute(context, (3, 69, PROMPT[69:]))[0], expected, **near)


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_cell_is_as_large_as_llama_cpps(heads: Heads, kind: str) -> None:
    number = NUMBERS[kind]
    context = NativeContext(heads.by_size[32], type_k=number, type_v=NUMBERS["f16"], flash_attn_type=1)
    sizes = []
    for start in (0, 8):
        assert context.decode(Run(0, start, list(range(8)))) == 0
        sizes.append(llama_cpp.llama_state_seq_get_size(context.pointer, 0))
    context.close()
    per_cell = bytes_per_cell(read_header(heads.by_size[32]), ContextOptions(cache_type_k=kind))
    assert per_cell <= (sizes[1] - sizes[0]) / 8 <= per_cell + 3 * POSITION


def _logged(caplog: pytest.LogCaptureFixture, what: str) -> float:
    """Bytes that llama.cpp says it has taken for something, all buffers together; to 5 KiB each."""
    found = re.findall(rf"{what} buffer size += +([0-9.]+) MiB", caplog.text)
    assert found
    return sum(map(float, found)) * (1 << 20)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        {"cache_type_k": "q4_0", "cache_type_v": "iq4_nl"},
        {"cache_type_k": "f32", "cache_type_v": "bf16"},
        {"flash_attn": "off"},
    ],
    ids=str,
)
def test_buffers_are_as_large_as_estimated(
    heads: Heads, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    path, chosen = heads.by_size[32], ContextOptions(**options)
    sizes: dict[str, Any] = {"num_cells": 1 << 15, "batch_size": 256, "max_sequences": 4}
    model = Model(path)
    with caplog.at_level(logging.DEBUG, logger="llama.cpp"):
        Context(model, num_threads=1, options=chosen, **sizes).close()
    model.close()
    header = read_header(path)
    expected = sizes["num_cells"] * bytes_per_cell(header, chosen)
    assert _logged(caplog, "KV") == pytest.approx(expected, abs=8 << 10)
    step = estimate(header, options=chosen, **sizes).step
    # What is told is rounded to 10 KiB.
    assert 0.9 * step <= _logged(caplog, "compute") <= step + (16 << 10)
