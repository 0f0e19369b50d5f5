"""Our attention against ggml's own and against its definition, in all shapes that it takes, and some others.

ggml's reference adds up values in float16, so the definition in float64 is the stricter of the two.
"""

import dataclasses

import numpy as np
import pytest
from caravan.llama import library
from gguf import GGMLQuantizationType as Kind

from tests.deploy.attention import make_mask
from tests.llama.attention import Attention, AttentionOperator, Halves, Numbers
from tests.llama.products import Floats

# Sequences with cells before and rows in the batch, scattered among each other's cells: streams, ends of
# prompts that are too short for a tile, prompts of a tile and more.
CHUNKS = ((90, 1), (0, 3), (40, 9), (10, 70), (33, 64), (7, 1))
ONE_SEQUENCE = tuple(((20, rows),) for rows in (1, 2, 3, 7, 8, 9, 63, 64, 65, 130))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A shape of attention."""

    k_size: int = 64
    v_size: int = 64
    heads: int = 4
    kv_heads: int = 2
    chunks: tuple[tuple[int, int], ...] = CHUNKS
    spare_cells: int = 23
    window: int = 0
    sinks: tuple[float, ...] = ()
    softcap: float = 0.0
    max_bias: float = 0.0
    k_kind: Kind = Kind.F16
    v_kind: Kind = Kind.F16
    streams: int = 1
    has_mask: bool = True

    def make(self) -> Attention:
        """Random numbers of this shape."""
        rng = np.random.default_rng(self.k_size * self.heads + self.window)
        rows = sum(rows for _, rows in self.chunks)
        cells = sum(before + rows for before, rows in self.chunks) + self.spare_cells
        masks = [make_mask(rng, list(self.chunks), cells, self.window) for _ in range(self.streams)]
        mask = np.stack(masks)
        if self.max_bias:
            mask[mask == 0] = -rng.integers(0, 100, int((mask == 0).sum()))

        def draw(*shape: int) -> Floats:
            return rng.standard_normal(shape, np.float32)

        return Attention(
            q=3 * draw(self.streams, rows, self.heads, self.k_size),
            k=draw(self.streams, cells, self.kv_heads, self.k_size),
            v=draw(self.streams, cells, self.kv_heads, self.v_size),
            mask=mask if self.has_mask else None,
            sinks=np.array(self.sinks, np.float32) if self.sinks else None,
            softcap=self.softcap,
            max_bias=self.max_bias,
            k_kind=self.k_kind,
            v_kind=self.v_kind,
        )

    @property
    def is_ours(self) -> bool:
        """Whether the kernel takes it on every processor that it is for."""
        has_sizes = self.k_size % 16 == 0 and self.v_size % 16 == 0
        return library.has_runs_of_rows() and has_sizes and self.k_kind == self.v_kind == Kind.F16

    @property
    def tolerances(self) -> tuple[float, float]:
        """To ggml's reference and to the definition."""
        if self.is_ours:
            return 1e-2, 2e-5
        # Types whose queries are rounded as well.
        return 1e-2, 1e-2 if self.k_kind in (Kind.F16, Kind.F32) else 0.1


SIZES = (
    *((size, size) for size in (16, 32, 40, 48, 64, 72, 80, 96, 112, 128, 192, 256)),
    *((192, 128), (576, 512), (64, 128)),
)
HEADS = ((1, 1), (4, 4), (2, 1), (4, 1), (7, 1), (14, 2), (9, 3), (32, 8))
KINDS = (("Q8_0", "Q8_0"), ("F32", "F32"), ("F16", "Q8_0"), ("Q8_0", "F16"), ("Q4_0", "Q4_0"))
CASES = {
    **{f"sizes {k}, {v}": Case(k_size=k, v_size=v) for k, v in SIZES},
    **{f"{heads} heads of {kv}": Case(heads=heads, kv_heads=kv) for heads, kv in HEADS},
    **{f"{chunks[0][1]} rows": Case(chunks=chunks) for chunks in ONE_SEQUENCE},
    **{f"a window of {window}": Case(window=window) for window in (1, 16, 100)},
    **{f"a cap of {cap}": Case(softcap=cap) for cap in (2.5, 50.0)},
    **{f"ALiBi, {heads} heads": Case(heads=heads, max_bias=8.0) for heads in (4, 6, 8)},
    **{f"cells of {k}, {v}": Case(k_kind=Kind[k], v_kind=Kind[v]) for k, v in KINDS},
    **{f"{streams} streams": Case(streams=streams) for streams in (2, 3)},
    **{f"no mask, {chunks[0][1]} rows": Case(chunks=chunks, has_mask=False) for chunks in ONE_SEQUENCE[::3]},
    "sinks": Case(sinks=(-3.0, 0.5, 40.0, 1.0)),
    "sinks in a window": Case(sinks=(0.5, 2.0, -1.0, 1.0), window=16),
    "sinks and a cap": Case(sinks=(0.5, 2.0, -1.0, 1.0), softcap=2.5),
    "a cap in a window": Case(softcap=30.0, window=16),
    "one row among many cells": Case(chunks=((700, 1),)),
    "one row of many heads among many cells": Case(chunks=((700, 1), (300, 1)), heads=16, kv_heads=2),
    "cells as they come in memory": Case(chunks=((0, 40), (0, 24)), spare_cells=192),
}


@pytest.fixture(scope="module")
def operator() -> AttentionOperator:
    return AttentionOperator()


@pytest.mark.parametrize("name", CASES)
def test_gives_what_ggml_gives(operator: AttentionOperator, name: str) -> None:
    case = CASES[name]
    attention = case.make()
    found = operator.compute(attention)
    near_ggml, near_definition = case.tolerances
    np.testing.assert_allclose(
        found, operator.compute(attention, use_ref=True), rtol=0, atol=near_ggml, err_msg="ggml"
    )
    np.testing.assert_allclose(found, attention.expected(), rtol=0, atol=near_definition)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_ours])
def test_threads_change_nothing(operator: AttentionOperator, name: str) -> None:
    attention = CASES[name].make()
    one = operator.compute(attention)
    np.testing.assert_array_equal(operator.compute(attention, 3), one)


def test_a_row_that_sees_nothing_is_zero(operator: AttentionOperator) -> None:
    attention = Case(chunks=((40, 20),), sinks=(0.5, 2.0, -1.0, 1.0)).make()
    assert attention.mask is not None
    attention.mask[:, [0, 7, 19]] = -np.inf
    found = operator.compute(attention)
    assert (found[:, [0, 7, 19]] == 0).all()
    np.testing.assert_allclose(found, attention.expected(), rtol=0, atol=1e-2)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Positions of the cells of all sequences, and the order of those that have one together."""

    positions: Numbers
    grid: Numbers | None = None

    @classmethod
    def of(cls, kind: str) -> "Layout":
        """Of all sequences one after the other, each counted from its own beginning."""
        index = np.concatenate([np.arange(before + rows, dtype=np.int32) for before, rows in CHUNKS])
        if kind == "images":
            # Five words and an image of 9 rows and 10 columns, again and again.
            round_, within = np.divmod(index, 95)
            cell = np.maximum(within - 5, 0)
            row, column = np.divmod(cell, 10)
            return cls(15 * round_ + np.minimum(within, 5), (row * 65536 + column).astype(np.int32))
        # Of texts with gaps, some are nearer to each other than a block of our attention is long.
        return cls(index + (index // 20 * 1000 + index // 3 * 7 if kind == "gaps" else 0))

    def in_memory(self, attention: Attention, cells: Numbers) -> Attention:
        """The sequences, whose cells lie one after the other, moved to these cells, with places."""
        num_cells = attention.k.shape[1]
        assert attention.mask is not None
        k, v = np.zeros_like(attention.k), np.zeros_like(attention.v)
        k[:, cells], v[:, cells] = attention.k[:, : len(cells)], attention.v[:, : len(cells)]
        mask = np.full_like(attention.mask, -np.inf)
        mask[..., cells] = attention.mask[..., : len(cells)]
        positions = np.full(num_cells, -1, np.int32)
        positions[cells] = self.positions
        sequences = np.repeat(np.arange(len(CHUNKS)), [rows for _, rows in CHUNKS]).astype(np.int32)
        places = [positions, sequences]
        if self.grid is not None:
            grid = np.zeros(num_cells, np.int32)
            grid[cells] = self.grid
            places.append(grid)
        return dataclasses.replace(attention, k=k, v=v, mask=mask, places=np.concatenate(places)[None])

    def mask(self, shape: tuple[int, int, int], window: int) -> Halves:
        """What rows see: all of their sequence before them, or that of the last positions."""
        mask = np.full(shape, -np.inf, np.float16)
        row = start = 0
        for before, rows in CHUNKS:
            for last in range(start + before, start + before + rows):
                distances = self.positions[last] - self.positions[start : last + 1]
                mask[0, row, start : last + 1][distances < (window or np.inf)] = 0
                row += 1
            start += before + rows
        return mask


@pytest.mark.skipif(not library.has_runs_of_rows(), reason="another build of llama.cpp, or no AVX2")
@pytest.mark.parametrize("window", [0, 16])
@pytest.mark.parametrize("sizes", [(64, 64), (192, 128)])
@pytest.mark.parametrize("kind", ["text", "images", "gaps"])
def test_company_and_cells_change_nothing(
    operator: AttentionOperator, sizes: tuple[int, int], window: int, kind: str
) -> None:
    """To the last bit, with the places that llama.cpp's memory tells."""
    case = Case(k_size=sizes[0], v_size=sizes[1], heads=6, sinks=(0.5, 2.0, -1.0, 1.0, 0.0, 3.0))
    attention = case.make()
    layout = Layout.of(kind)
    count = len(layout.positions)
    shape = (1, attention.q.shape[1], attention.k.shape[1])
    attention = dataclasses.replace(attention, mask=layout.mask(shape, window))
    ordered = layout.in_memory(attention, np.arange(count, dtype=np.int32))
    expected = operator.compute(ordered)
    np.testing.assert_allclose(expected, attention.expected(), rtol=0, atol=1e-4)
    rng = np.random.default_rng(1)
    for _ in range(2):
        cells = rng.permutation(attention.k.shape[1])[:count].astype(np.int32)
        scattered = layout.in_memory(attention, cells)
        np.testing.assert_array_equal(operator.compute(scattered), expected)
    for first, last in ((0, 1), (1, 4), (20, 30), (82, 100), (147, 148)):
        assert ordered.mask is not None
        assert ordered.places is not None
        num_cells, num_rows = attention.k.shape[1], attention.q.shape[1]
        rows = np.r_[
            0:num_cells, num_cells + first : num_cells + last, num_cells + num_rows : ordered.places.shape[1]
        ]
        part = dataclasses.replace(
            ordered,
            q=ordered.q[:, first:last].copy(),
            mask=ordered.mask[:, first:last].copy(),
            places=ordered.places[:, rows].copy(),
        )
        np.testing.assert_array_equal(operator.compute(part), expected[:, first:last])
