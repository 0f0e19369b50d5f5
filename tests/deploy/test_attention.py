"""Our attention kernel, compiled by itself, against its definition in float64."""

import ctypes
import dataclasses
import random
import subprocess

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.build import compiler, recipe
from deploy.build.errors import BuildError

HIDDEN, SEEN, SLOPED = 0xFC00, 0x0000, 0xC500

# What the kernel takes from ggml.
FROM_GGML = """
#include <cmath>
#include <cstdint>
#include <immintrin.h>

#define GGML_CPU_FP16_TO_FP32(x) _cvtsh_ss(x)

static double ggml_vec_soft_max_f32(int n, float * y, const float * x, float max) {
    double sum = 0;
    for (int i = 0; i < n; ++i) {
        sum += y[i] = std::exp(x[i] - max);
    }
    return sum;
}

static void simd_gemm(float * c, const float * a, const float * b, int m, int k, int n) {
    for (int i = 0; i < m; ++i) {
        for (int j = 0; j < n; ++j) {
            for (int l = 0; l < k; ++l) {
                c[i*n + j] = std::fma(a[i*k + l], b[l*n + j], c[i*n + j]);
            }
        }
    }
}
"""

EXPORTED = """
extern "C" long long next_seen(const uint16_t * mask, long long cell, long long end) {
    return caravan_next_seen(mask, cell, end);
}

#ifdef CARAVAN_ATTENTION
extern "C" int runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

// Returns the number of runs.
extern "C" int attend(
        const float * q, const uint16_t * k, const uint16_t * v, const uint16_t * mask, const float * sink,
        float * out, int rows, int cells, int k_size, int v_size, float scale, float softcap, float slope) {
    caravan_head head = {};
    head.q = (const char *) q;
    head.q_stride = k_size*4;
    head.k = (const char *) k;
    head.k_stride = k_size*2;
    head.v = (const char *) v;
    head.v_stride = v_size*2;
    head.mask = (const char *) mask;
    head.mask_stride = cells*2;
    head.sink = sink;
    head.out = (char *) out;
    head.out_stride = v_size*4;
    head.cells = cells;
    head.k_size = k_size;
    head.v_size = v_size;
    head.scale = scale;
    head.softcap = softcap;
    head.slope = slope;
    std::vector<float> work(caravan_work_size(k_size, v_size));
    std::vector<caravan_run> runs;
    std::vector<int32_t> seen;
    caravan_split(head.mask, head.mask_stride, rows, cells, runs);
    for (const auto & run : runs) {
        caravan_list_cells(head.mask, head.mask_stride, run, 0, cells, seen);
        caravan_attend_run(head, run, seen, work.data());
    }
    return (int) runs.size();
}
#endif
"""

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Queries [rows, k_size], keys [cells, k_size], values [cells, v_size], mask [rows, cells] or None."""

    q: Floats
    k: Halves
    v: Halves
    mask: Halves | None
    sink: float | None = None
    softcap: float = 0.0
    slope: float = 1.0

    @property
    def scale(self) -> float:
        scale = float(self.q.shape[1] ** -0.5)
        return scale / self.softcap if self.softcap else scale

    def expected(self) -> NDArray[np.float64]:
        """softmax(q k^T + mask) v, with the sink as one more score that has no value; zeros without any."""
        scores = self.q.astype(np.float64) @ self.k.T.astype(np.float64) * self.scale
        if self.softcap:
            scores = self.softcap * np.tanh(scores)
        if self.mask is not None:
            scores = scores + self.slope * self.mask.astype(np.float64)
        sink = -np.inf if self.sink is None else self.sink
        largest = np.maximum(scores.max(1, keepdims=True), sink)
        weights = np.exp(scores - np.where(np.isinf(largest), 0.0, largest))
        sums = weights.sum(1, keepdims=True) + np.exp(sink - np.where(np.isinf(largest), 0.0, largest))
        result: NDArray[np.float64] = weights @ self.v.astype(np.float64) / np.where(sums == 0, 1.0, sums)
        return result


@pytest.fixture(scope="module", params=["-march=native", "-mavx2 -mfma -mf16c"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    try:
        toolchain = compiler.find()
    except BuildError:
        pytest.skip("no compiler here")
    folder = tmp_path_factory.mktemp("attention")
    source = folder / "attention.cpp"
    kernel, _ = recipe.KERNELS
    source.write_text(FROM_GGML + kernel.read_text() + EXPORTED)
    path = folder / "attention.so"
    options = ["-O2", *request.param.split(), "-shared", "-fPIC", "-o", str(path), str(source)]
    if subprocess.run([*toolchain.cxx.command, *options], check=False).returncode != 0:
        pytest.skip("not a processor that it is for")
    loaded = ctypes.CDLL(str(path))
    if hasattr(loaded, "runs_here") and not loaded.runs_here():
        pytest.skip("not a processor that it is for")
    loaded.next_seen.argtypes = [ctypes.c_void_p, ctypes.c_longlong, ctypes.c_longlong]
    loaded.next_seen.restype = ctypes.c_longlong
    return loaded


def _attend(library: ctypes.CDLL, head: Head) -> tuple[Floats, int]:
    """The kernel's result and its number of runs."""
    if not hasattr(library, "attend"):
        pytest.skip("a processor without AVX2")
    rows, k_size = head.q.shape
    cells, v_size = head.v.shape
    sink = None if head.sink is None else np.array([head.sink], np.float32)
    out = np.full((rows, v_size), np.nan, np.float32)
    arrays = (head.q, head.k, head.v, head.mask, sink, out)
    pointers = [None if array is None else ctypes.c_void_p(array.ctypes.data) for array in arrays]
    sizes = [ctypes.c_int(size) for size in (rows, cells, k_size, v_size)]
    factors = [ctypes.c_float(factor) for factor in (head.scale, head.softcap, head.slope)]
    return out, library.attend(*pointers, *sizes, *factors)


def _head(
    rng: np.random.Generator,
    mask: Halves | None,
    shape: tuple[int, int],
    k_size: int = 64,
    v_size: int = 64,
    *,
    sink: float | None = None,
    softcap: float = 0.0,
    slope: float = 1.0,
) -> Head:
    rows, cells = shape
    return Head(
        q=3 * rng.standard_normal((rows, k_size), np.float32),
        k=rng.standard_normal((cells, k_size), np.float32).astype(np.float16),
        v=rng.standard_normal((cells, v_size), np.float32).astype(np.float16),
        mask=mask,
        sink=sink,
        softcap=softcap,
        slope=slope,
    )


def _mask(rng: np.random.Generator, chunks: list[tuple[int, int]], cells: int, window: int = 0) -> Halves:
    """Sequences whose cells are scattered, each with so many cells before and so many rows; -inf elsewhere.

    With a window, a row sees only that many cells of its own.
    """
    owners = rng.permutation(np.repeat(np.arange(len(chunks)), [before + rows for before, rows in chunks]))
    mask = np.full((sum(rows for _, rows in chunks), cells), -np.inf, np.float16)
    row = 0
    for index, (before, rows) in enumerate(chunks):
        own = np.flatnonzero(owners == index)
        for last in range(before + 1, before + rows + 1):
            mask[row, own[max(0, last - window) if window else 0 : last]] = 0
            row += 1
    return mask


def _agrees(library: ctypes.CDLL, head: Head) -> int:
    result, num_runs = _attend(library, head)
    np.testing.assert_allclose(result, head.expected(), rtol=2e-5, atol=2e-5)
    return num_runs


@pytest.mark.parametrize("k_size", [64, 80, 192])
@pytest.mark.parametrize("v_size", [64, 96, 128])
def test_rows_of_many_sequences(library: ctypes.CDLL, k_size: int, v_size: int) -> None:
    rng = np.random.default_rng(k_size * v_size)
    chunks = [(200, 1), (30, 1), (0, 5), (100, 70), (64, 64), (0, 200), (90, 1)]
    cells = sum(before + rows for before, rows in chunks) + 23
    mask = _mask(rng, chunks, cells)
    num_runs = _agrees(library, _head(rng, mask, mask.shape, k_size, v_size))
    assert num_runs == 1 + 1 + 1 + 2 + 1 + 4 + 1


def test_sequences_that_share_a_prefix_do_not_share_a_tile(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    mask = np.full((20, 300), -np.inf, np.float16)
    mask[:, :150] = 0
    mask[np.arange(20), 150 + np.arange(20)] = 0
    assert _agrees(library, _head(rng, mask, mask.shape)) == 20


@pytest.mark.parametrize("sizes", [(64, 64), (96, 128)])
def test_a_row_is_the_same_in_any_company(library: ctypes.CDLL, sizes: tuple[int, int]) -> None:
    """To the last bit, with cells that come before, in tiles of any number of rows and alone."""
    rng = np.random.default_rng(5)
    mask = _mask(rng, [(70, 1), (10, 90), (33, 20), (4, 1)], 250)
    head = _head(rng, mask, mask.shape, *sizes)
    together, _ = _attend(library, head)
    for begin, end in ((0, 1), (5, 6), (30, 34), (40, 91), (12, 80), (92, 112), (100, 101)):
        part = dataclasses.replace(head, q=head.q[begin:end].copy(), mask=mask[begin:end].copy())
        np.testing.assert_array_equal(_attend(library, part)[0], together[begin:end])


@pytest.mark.parametrize("window", [1, 16, 100])
def test_a_sliding_window(library: ctypes.CDLL, window: int) -> None:
    rng = np.random.default_rng(window)
    mask = _mask(rng, [(150, 80), (90, 1)], 400, window)
    _agrees(library, _head(rng, mask, mask.shape))


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (90, 130)])
def test_without_a_mask_all_is_seen(library: ctypes.CDLL, shape: tuple[int, int]) -> None:
    assert _agrees(library, _head(np.random.default_rng(7), None, shape)) == (shape[0] + 63) // 64


@pytest.mark.parametrize("sink", [None, -3.0, 40.0])
@pytest.mark.parametrize("softcap", [0.0, 2.5])
@pytest.mark.parametrize("rows", [2, 75])
def test_sinks_and_caps(library: ctypes.CDLL, sink: float | None, softcap: float, rows: int) -> None:
    rng = np.random.default_rng(rows)
    mask = _mask(rng, [(99, rows)], 200)
    _agrees(library, _head(rng, mask, mask.shape, sink=sink, softcap=softcap))


@pytest.mark.parametrize("rows", [2, 75])
def test_slopes_of_distance(library: ctypes.CDLL, rows: int) -> None:
    rng = np.random.default_rng(rows)
    mask = _mask(rng, [(99, rows)], 177)
    mask[mask == 0] = -rng.integers(0, 100, int((mask == 0).sum()))
    _agrees(library, _head(rng, mask, mask.shape, slope=0.25))


@pytest.mark.parametrize("sink", [None, 1.0])
@pytest.mark.parametrize("rows", [1, 30])
def test_a_row_that_sees_nothing_is_zero(library: ctypes.CDLL, rows: int, sink: float | None) -> None:
    rng = np.random.default_rng(3)
    mask = np.full((rows + 1, 100), -np.inf, np.float16)
    mask[:rows, :40] = 0
    head = _head(rng, mask, mask.shape, sink=sink)
    _agrees(library, head)
    assert (_attend(library, head)[0][rows] == 0).all()


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
