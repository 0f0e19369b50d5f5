"""Our attention kernel, compiled by itself, with heads to try it on."""

import ctypes
import dataclasses
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.build import source, toolchain
from deploy.build.toolchain import BuildError

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
        float * out, const int32_t * positions, const int32_t * sequences,
        int rows, int cells, int k_size, int v_size, float scale, float softcap, float slope) {
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
    caravan_cells seen;
    const caravan_places places = { positions, sequences };
    caravan_split(head.mask, head.mask_stride, rows, cells, places, runs);
    for (const auto & run : runs) {
        caravan_list_cells(head.mask, head.mask_stride, run, cells, places, seen);
        caravan_attend_run(head, run, seen, work.data());
    }
    return (int) runs.size();
}
#endif
"""

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]
Numbers = NDArray[np.int32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Queries [rows, k_size], keys [cells, k_size], values [cells, v_size], mask [rows, cells] or None.

    `positions` [cells] and `sequences` [rows] are what a context's memory tells, if it does.
    """

    q: Floats
    k: Halves
    v: Halves
    mask: Halves | None
    sink: float | None = None
    softcap: float = 0.0
    slope: float = 1.0
    positions: Numbers | None = None
    sequences: Numbers | None = None

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


def load_kernel(flags: str, folder: Path) -> ctypes.CDLL:
    """The kernel, compiled with these flags; skips where compiler or processor are not those it is for."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("not a processor that it is for")
    try:
        compilers = toolchain.find()
    except BuildError:
        pytest.skip("no compiler here")
    program = folder / "attention.cpp"
    program.write_text(f'{FROM_GGML}\n#include "attention.h"\n{EXPORTED}')
    path = folder / "attention.so"
    options = ["-O2", *flags.split(), f"-I{source.PATCHES / 'caravan'}", "-shared", "-fPIC", "-o", str(path)]
    subprocess.run([*compilers.cxx.command, *options, str(program)], check=True)
    loaded = ctypes.CDLL(str(path))
    if hasattr(loaded, "runs_here") and not loaded.runs_here():
        pytest.skip("not a processor that it is for")
    loaded.next_seen.argtypes = [ctypes.c_void_p, ctypes.c_longlong, ctypes.c_longlong]
    loaded.next_seen.restype = ctypes.c_longlong
    return loaded


def attend(library: ctypes.CDLL, head: Head) -> tuple[Floats, int]:
    """The kernel's result and its number of runs."""
    if not hasattr(library, "attend"):
        pytest.skip("a processor without AVX2")
    rows, k_size = head.q.shape
    cells, v_size = head.v.shape
    sink = None if head.sink is None else np.array([head.sink], np.float32)
    out = np.full((rows, v_size), np.nan, np.float32)
    arrays = (head.q, head.k, head.v, head.mask, sink, out, head.positions, head.sequences)
    pointers = [None if array is None else ctypes.c_void_p(array.ctypes.data) for array in arrays]
    sizes = [ctypes.c_int(size) for size in (rows, cells, k_size, v_size)]
    factors = [ctypes.c_float(factor) for factor in (head.scale, head.softcap, head.slope)]
    return out, library.attend(*pointers, *sizes, *factors)


def make_head(
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
    """A head of random numbers, of so many rows and cells."""
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


def make_mask(rng: np.random.Generator, chunks: list[tuple[int, int]], cells: int, window: int = 0) -> Halves:
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
