"""The kernel for rows of logits beside NumPy, on rows that Hypothesis makes up."""

from array import array

import numpy as np
import pytest
from caravan.llama import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

Floats = NDArray[np.float32]

pytestmark = pytest.mark.skipif(not rows.has_kernel(), reason="a build of llama.cpp without the kernel")

# The same examples on every run: a test that fails must fail again.
same_each_time = settings(derandomize=True, deadline=None, database=None, max_examples=300)

_levels = st.sampled_from([-np.inf, -3.0, -0.0, 0.0, 1e-42, -1e-42, 0.5, 3.4e38, -3.4e38])
_any = st.floats(width=32, allow_nan=False, allow_infinity=False)
_bases = st.one_of(
    *(hnp.arrays(np.float32, st.integers(1, 99), elements=numbers) for numbers in (_levels, _any))
)
# Repeated and cut off, a short row becomes one full of ties, of a size that no power of two divides.
long_rows: SearchStrategy[Floats] = st.builds(np.resize, _bases, st.integers(1024, 9000))
counts = st.sampled_from([1, 2, 40, 63, 64, 65, 256])


def reference(row: Floats, count: int) -> NDArray[np.intp]:
    best = np.sort(np.argsort(-row, kind="stable")[:count])
    return best[row[best] > -np.inf]


@same_each_time
@given(row=long_rows, count=counts)
def test_finds_the_largest_of_equal_ones_the_first(row: Floats, count: int) -> None:
    found = rows.largest(row, count)
    expected = reference(row, count)
    assert expected.tolist() == ([] if found is None else found.tolist())


@pytest.mark.parametrize("size", [1024, 2049, 151_936, 262_144])
@pytest.mark.parametrize("count", [1, 40, 256])
def test_finds_the_largest_of_vocabularies(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    falling = np.linspace(9, -9, size, dtype=np.float32)
    coarse = rng.integers(0, 30, size).astype(np.float32)
    banned = np.where(rng.random(size) < 0.99, -np.inf, coarse).astype(np.float32)
    for row in (rng.normal(0, 3, size).astype(np.float32), falling, falling[::-1].copy(), coarse, banned):
        found = rows.largest(row, count)
        assert found is not None
        assert found.tolist() == reference(row, count).tolist()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("size", [1024, 1087, 151_936])
def test_refuses_what_is_no_number_wherever_it_stands(wrong: float, size: int) -> None:
    draws = [
        rows.RowDraw(size, top_k=top_k, top_p=0.9, min_p=-3.0, min_keep=0, temperature=1.0)
        for top_k in (40, 0)
    ]
    for place in (0, 1, 63, 64, size // 2, size - 64, size - 1):
        row = np.random.default_rng(1).normal(0, 3, size).astype(np.float32)
        row[place] = wrong
        assert rows.largest(row, 40) is None
        assert all(draw.begin(row) < 1 for draw in draws)


def test_leaves_rows_in_which_nothing_is_left_to_others() -> None:
    row = np.full(2000, -np.inf, np.float32)
    assert rows.largest(row, 40) is None


@same_each_time
@given(
    row=long_rows,
    seen=st.dictionaries(st.integers(0, 1023), st.integers(1, 2000), min_size=1),
    strengths=st.tuples(*[st.sampled_from([0.5, 1.0, 1.1, -0.3, 2.0])] * 3),
)
def test_penalties_are_those_of_numpy(
    row: Floats, seen: dict[int, int], strengths: tuple[float, float, float]
) -> None:
    ids, times = np.array(list(seen), np.int32), np.array(list(seen.values()), np.int32)
    repeat, presence, frequency = (np.float32(strength) for strength in strengths)
    expected = row.copy()
    with np.errstate(over="ignore"):
        logits = expected[ids]
        logits = np.where(logits <= 0, logits * repeat, logits / repeat)
        expected[ids] = logits - (times.astype(np.float32) * frequency + presence)
    assert rows.penalize(row, array("i", seen.keys()), array("i", seen.values()), *strengths)
    assert row.tobytes() == expected.tobytes()


@pytest.mark.parametrize("wrong", [-1, 2000, 2**31 - 1])
def test_no_token_beyond_the_row_is_touched(wrong: int) -> None:
    row = np.ones(2000, np.float32)
    assert not rows.penalize(row, array("i", [5, wrong]), array("i", [1, 1]), 2.0, 0.0, 0.0)
    assert (row == 1).all()
