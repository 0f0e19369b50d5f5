"""Attention's jump over hidden cells finds what looking at each cell finds."""

import ctypes
import random
import subprocess

import numpy as np
import pytest

from deploy.build import compiler, recipe
from deploy.build.errors import BuildError

HIDDEN, SEEN, SLOPED = 0xFC00, 0x0000, 0xC500
EXPORTED = """
extern "C" long long next_seen(const uint16_t * mask, long long cell, long long end) {
    return caravan_next_seen(mask, cell, end);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    try:
        toolchain = compiler.find()
    except BuildError:
        pytest.skip("no compiler here")
    folder = tmp_path_factory.mktemp("masked_cells")
    source = folder / "next_seen.cpp"
    source.write_text(recipe.MASKED_CELLS.with_suffix(".h").read_text() + EXPORTED)
    path = folder / "next_seen.so"
    command = [*toolchain.cxx.command, "-O3", "-shared", "-fPIC", "-o", str(path), str(source)]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.next_seen.argtypes = [ctypes.c_void_p, ctypes.c_longlong, ctypes.c_longlong]
    loaded.next_seen.restype = ctypes.c_longlong
    return loaded


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
