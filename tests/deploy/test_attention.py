"""Our attention kernel against its definition in float64."""

import ctypes
import dataclasses
import random

import numpy as np
import pytest

from tests.deploy.attention import HIDDEN, SEEN, SLOPED, Head, attend, load_kernel, make_head, make_mask


@pytest.fixture(scope="module", params=["-march=native", "-mavx2 -mfma -mf16c"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load_kernel(request.param, tmp_path_factory.mktemp("attention"))


def _agrees(library: ctypes.CDLL, head: Head) -> int:
    result, num_runs = attend(library, head)
    np.testing.assert_allclose(result, head.expected(), rtol=2e-5, atol=2e-5)
    return num_runs


@pytest.mark.parametrize("k_size", [64, 80, 192])
@pytest.mark.parametrize("v_size", [64, 96, 128])
def test_rows_of_many_sequences(library: ctypes.CDLL, k_size: int, v_size: int) -> None:
    rng = np.random.default_rng(k_size * v_size)
    chunks = [(200, 1), (30, 1), (0, 5), (100, 70), (64, 64), (0, 200), (90, 1)]
    cells = sum(before + rows for before, rows in chunks) + 23
    mask = make_mask(rng, chunks, cells)
    num_runs = _agrees(library, make_head(rng, mask, mask.shape, k_size, v_size))
    assert num_runs == 1 + 1 + 1 + 2 + 1 + 4 + 1


def test_sequences_that_share_a_prefix_do_not_share_a_tile(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    mask = np.full((20, 300), -np.inf, np.float16)
    mask[:, :150] = 0
    mask[np.arange(20), 150 + np.arange(20)] = 0
    assert _agrees(library, make_head(rng, mask, mask.shape)) == 20


@pytest.mark.parametrize("sizes", [(64, 64), (96, 128)])
def test_a_row_is_the_same_in_any_company(library: ctypes.CDLL, sizes: tuple[int, int]) -> None:
    """To the last bit, with cells that come before, in tiles of any number of rows and alone."""
    rng = np.random.default_rng(5)
    mask = make_mask(rng, [(70, 1), (10, 90), (33, 20), (4, 1)], 250)
    head = make_head(rng, mask, mask.shape, *sizes)
    together, _ = attend(library, head)
    for begin, end in ((0, 1), (5, 6), (30, 34), (40, 91), (12, 80), (92, 112), (100, 101)):
        part = dataclasses.replace(head, q=head.q[begin:end].copy(), mask=mask[begin:end].copy())
        np.testing.assert_array_equal(attend(library, part)[0], together[begin:end])


@pytest.mark.parametrize("window", [1, 16, 100])
def test_a_sliding_window(library: ctypes.CDLL, window: int) -> None:
    rng = np.random.default_rng(window)
    mask = make_mask(rng, [(150, 80), (90, 1)], 400, window)
    _agrees(library, make_head(rng, mask, mask.shape))


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (90, 130)])
def test_without_a_mask_all_is_seen(library: ctypes.CDLL, shape: tuple[int, int]) -> None:
    assert _agrees(library, make_head(np.random.default_rng(7), None, shape)) == (shape[0] + 63) // 64


@pytest.mark.parametrize("sink", [None, -3.0, 40.0])
@pytest.mark.parametrize("softcap", [0.0, 2.5])
@pytest.mark.parametrize("rows", [2, 75])
def test_sinks_and_caps(library: ctypes.CDLL, sink: float | None, softcap: float, rows: int) -> None:
    rng = np.random.default_rng(rows)
    mask = make_mask(rng, [(99, rows)], 200)
    _agrees(library, make_head(rng, mask, mask.shape, sink=sink, softcap=softcap))


@pytest.mark.parametrize("rows", [2, 75])
def test_slopes_of_distance(library: ctypes.CDLL, rows: int) -> None:
    rng = np.random.default_rng(rows)
    mask = make_mask(rng, [(99, rows)], 177)
    mask[mask == 0] = -rng.integers(0, 100, int((mask == 0).sum()))
    _agrees(library, make_head(rng, mask, mask.shape, slope=0.25))


@pytest.mark.parametrize("sink", [None, 1.0])
@pytest.mark.parametrize("rows", [1, 30])
def test_a_row_that_sees_nothing_is_zero(library: ctypes.CDLL, rows: int, sink: float | None) -> None:
    rng = np.random.default_rng(3)
    mask = np.full((rows + 1, 100), -np.inf, np.float16)
    mask[:rows, :40] = 0
    head = make_head(rng, mask, mask.shape, sink=sink)
    _agrees(library, head)
    assert (attend(library, head)[0][rows] == 0).all()


def _expected(mask: list[int], cell: int, end: int) -> int:
    return next((index for index in range(cell, end) if mask[index] != HIDDEN), end)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.1, 0.9])
def test_finds_the_next_cell_that_is_seen(library: ctypes.CDLL, share: float) -> None:
    rng = random.Random(f"masked cells {share}")
    for _ in range(500):
        length = rng.randrange(1, 200)
        mask = [rng.choice((SEEN, SLOPED)) if rng.random() < share else HIDDEN for _ in range(length)]
        cells = np.array(mask, np.uint16)
        end = rng.randrange(length + 1)
        cell = rng.randrange(end + 1)
        assert library.next_seen(cells.ctypes.data, cell, end) == _expected(mask, cell, end)


def test_looks_at_nothing_behind_the_end(library: ctypes.CDLL) -> None:
    cells = np.array([HIDDEN] * 40 + [SEEN] * 40, np.uint16)
    for end in range(41):
        assert library.next_seen(cells.ctypes.data, 0, end) == end
