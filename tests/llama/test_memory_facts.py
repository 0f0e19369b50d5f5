"""What llama.cpp does with memory that every model has, and the engine relies on.

1. In unified memory a copy of any prefix costs no cell, and continues with the logits of computing it alone.
2. A sequence whose tail is removed continues like one that never had it.
3. "No room" (1) changes nothing: after freeing cells, the same batch succeeds and gives the right logits.
   The cells of a context are `n_ctx` rounded up to 256.
4. A batch must continue a sequence at its last position + 1; anything else is refused with -1, unchanged.
5. A copy onto a sequence that is not empty adds cells to it: two tokens at one position. Empty it first.
6. Rows of logits come in the order of the marked tokens in the batch, however it was split inside.
7. `n_outputs_max` must be at least `n_seq_max` or creating the context aborts the process, and rows wanted
   above it, or tokens above `n_batch`, abort in `llama_decode`. `n_batch` is cut to the `n_ctx` asked for,
   before that is rounded up: trust `llama_n_batch`, not what was asked.
"""

import subprocess
import sys

import llama_cpp
import numpy as np
import pytest

from tests.conftest import TinyModels
from tests.llama.native import Opener, Run, alone, same, text
from tests.tiny_model import ARCHITECTURES

CUTTABLE = ["llama", "qwen2", "gemma3"]


@pytest.mark.parametrize("architecture", CUTTABLE)
def test_a_copied_prefix_costs_no_cells_and_equals_computing_it(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source = text(1, 200)
    context.compute(Run(0, 0, source))
    for target, length in ((1, 200), (2, 150), (3, 17)):
        context.copy(0, target, length)
        assert context.positions(target) == (0, length - 1)
    tails = [text(target, 14) for target in range(4)]
    starts = [200, 200, 150, 17]
    rows = context.compute(*(Run(i, starts[i], tails[i]) for i in range(4)))
    # 200 + 4 * 14 = 256: every cell is used exactly once, and there is not one more.
    assert context.decode(Run(4, 0, [1])) == 1
    for index in range(4):
        expected = alone(opened, architecture, source[: starts[index]] + tails[index])
        assert same(rows[index], expected)


@pytest.mark.parametrize("architecture", CUTTABLE)
def test_a_copy_outlives_its_source(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source, tail = text(1, 60), text(2, 5)
    context.compute(Run(0, 0, source))
    context.copy(0, 1, 40)
    assert context.remove(0)
    assert context.positions(0) == (-1, -1)
    rows = context.compute(Run(1, 40, tail), Run(0, 0, text(3, 100)))
    assert same(rows[0], alone(opened, architecture, source[:40] + tail))


@pytest.mark.parametrize("architecture", CUTTABLE)
def test_a_cut_sequence_continues_like_a_fresh_one(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source, tail = text(1, 90), text(2, 9)
    context.compute(Run(0, 0, source))
    assert context.remove(0, 31)
    assert context.positions(0) == (0, 30)
    assert same(context.compute(Run(0, 31, tail)), alone(opened, architecture, source[:31] + tail))


@pytest.mark.parametrize("micro_batch", [256, 16])
@pytest.mark.parametrize("architecture", [*CUTTABLE, "lfm2"])
def test_no_room_changes_nothing(opened: Opener, architecture: str, micro_batch: int) -> None:
    context = opened(architecture, n_ubatch=micro_batch)
    first, second, third = text(1, 120), text(2, 110), text(3, 60)
    context.compute(Run(0, 0, first))
    context.compute(Run(1, 0, second))
    before = [context.positions(seq_id) for seq_id in range(3)]
    batch = [Run(2, 0, third), Run(1, 110, [7])]
    for _ in range(3):
        assert context.decode(*batch) == 1
        assert [context.positions(seq_id) for seq_id in range(3)] == before
    assert context.remove(0)
    rows = context.compute(*batch)
    assert same(rows[0], alone(opened, architecture, third))
    assert same(rows[1], alone(opened, architecture, [*second, 7]))


def test_cells_are_a_multiple_of_256(opened: Opener) -> None:
    context = opened("llama", n_ctx=300)
    context.compute(Run(0, 0, text(1, 256)))
    context.compute(Run(1, 0, text(1, 256)))
    assert context.decode(Run(2, 0, [1])) == 1


def test_a_batch_is_no_larger_than_the_context_asked_for(opened: Opener) -> None:
    context = opened("llama", n_ctx=100, n_batch=512)
    assert llama_cpp.llama_n_ctx(context.pointer) == 256
    assert llama_cpp.llama_n_batch(context.pointer) == 100


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_must_be_consecutive(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source = text(1, 20)
    context.compute(Run(0, 0, source))
    assert context.decode(Run(0, 21, [1])) == -1
    assert context.decode(Run(0, 19, [1])) == -1
    assert context.decode(Run(0, 20, [256 * 256])) == -1
    assert context.positions(0)[1] == 19
    assert same(context.compute(Run(0, 20, [1])), alone(opened, architecture, [*source, 1]))


def test_a_copy_onto_a_filled_sequence_mixes_both(opened: Opener) -> None:
    context = opened("llama")
    source, other = text(1, 30), text(2, 20)
    context.compute(Run(0, 0, source))
    context.compute(Run(1, 0, other))
    context.copy(0, 1, 30)
    mixed = context.compute(Run(1, 30, [5]))
    assert not same(mixed, alone(opened, "llama", [*source, 5]))
    assert context.remove(1)
    context.copy(0, 1, 30)
    assert same(context.compute(Run(1, 30, [5])), alone(opened, "llama", [*source, 5]))


@pytest.mark.parametrize("micro_batch", [256, 16])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_follow_the_order_of_the_batch(opened: Opener, architecture: str, micro_batch: int) -> None:
    context = opened(architecture, n_ubatch=micro_batch)
    lengths = [9, 1, 30, 4, 1, 17]
    texts = [text(seed, length) for seed, length in enumerate(lengths)]
    order = [4, 2, 0, 5, 1, 3]
    rows = context.compute(*(Run(seq_id, 0, texts[seq_id], seq_id == 0) for seq_id in order))
    assert len(rows) == 5 + 9
    expected = [alone(opened, architecture, texts[seq_id]) for seq_id in (4, 2)]
    expected += [alone(opened, architecture, texts[0][: count + 1]) for count in range(9)]
    expected += [alone(opened, architecture, texts[seq_id]) for seq_id in (5, 1, 3)]
    assert same(rows, np.concatenate(expected))


@pytest.mark.parametrize(
    ("settings", "lengths"),
    [
        ({"n_seq_max": 4, "n_outputs_max": 3}, [1]),
        ({"n_seq_max": 2, "n_outputs_max": 2}, [3]),
        ({"n_batch": 32, "n_ubatch": 32}, [33]),
        ({"n_ctx": 100}, [101]),
    ],
)
def test_what_aborts_the_process(
    tiny_models: TinyModels, settings: dict[str, int], lengths: list[int]
) -> None:
    code = (
        "import pathlib; from tests.llama.native import NativeContext, Run\n"
        f"context = NativeContext(pathlib.Path({str(tiny_models['llama'])!r}), **{settings!r})\n"
        f"context.decode(*(Run(i, 0, [1] * n, True) for i, n in enumerate({lengths!r})))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.returncode == -6
    assert b"GGML_ASSERT" in result.stderr
