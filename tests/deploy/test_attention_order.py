"""A row gets the same attention wherever its cells are and whoever is beside it, to the last bit."""

import ctypes
import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from tests.deploy.attention import Floats, Halves, Head, Numbers, attend, load_kernel


@pytest.fixture(scope="module", params=["-march=native", "-mavx2 -mfma -mf16c"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return load_kernel(request.param, tmp_path_factory.mktemp("attention"))


@dataclass(frozen=True)
class Text:
    """A sequence: queries, keys and values [tokens, size], of which the last `num_rows` are in the batch."""

    q: Floats
    k: Halves
    v: Halves
    num_rows: int

    @property
    def num_tokens(self) -> int:
        return len(self.k)


def _text(rng: np.random.Generator, num_tokens: int, num_rows: int, size: int = 64) -> Text:
    q = 3 * rng.standard_normal((num_tokens, size), np.float32)
    k = rng.standard_normal((num_tokens, size), np.float32).astype(np.float16)
    v = rng.standard_normal((num_tokens, size), np.float32).astype(np.float16)
    return Text(q, k, v, num_rows)


def _memory(texts: list[Text], cells_of: list[Numbers], num_cells: int, window: int = 0) -> Head:
    """One memory that holds these texts, each token of text i at the cells `cells_of[i]`."""
    size = texts[0].q.shape[1]
    k = np.zeros((num_cells, size), np.float16)
    v = np.zeros((num_cells, size), np.float16)
    positions = np.full(num_cells, -1, np.int32)
    masks, rows, sequences = [], [], []
    for number, (text, cells) in enumerate(zip(texts, cells_of, strict=True)):
        k[cells], v[cells] = text.k, text.v
        positions[cells] = np.arange(text.num_tokens)
        for position in range(text.num_tokens - text.num_rows, text.num_tokens):
            mask = np.full(num_cells, -np.inf, np.float16)
            mask[cells[max(0, position + 1 - window) if window else 0 : position + 1]] = 0
            masks.append(mask)
            rows.append(text.q[position])
            sequences.append(number)
    return Head(
        q=np.array(rows),
        k=k,
        v=v,
        mask=np.array(masks),
        positions=positions,
        sequences=np.array(sequences, np.int32),
    )


def _alone(library: ctypes.CDLL, text: Text, window: int = 0) -> Floats:
    """What the text gets by itself, one row at a time, with its cells side by side."""
    parts = []
    for count in range(text.num_tokens - text.num_rows + 1, text.num_tokens + 1):
        row = Text(text.q[:count], text.k[:count], text.v[:count], 1)
        head = _memory([row], [np.arange(count, dtype=np.int32)], count, window)
        parts.append(attend(library, head)[0])
    return np.concatenate(parts)


@pytest.mark.parametrize("window", [0, 1, 7, 64, 100])
def test_cells_may_lie_anywhere(library: ctypes.CDLL, window: int) -> None:
    rng = np.random.default_rng(window)
    texts = [_text(rng, *shape) for shape in [(1, 1), (200, 1), (130, 70), (64, 64), (65, 3), (90, 8)]]
    num_cells = sum(text.num_tokens for text in texts) + 50
    expected = np.concatenate([_alone(library, text, window) for text in texts])
    for _ in range(3):
        places = rng.permutation(num_cells).astype(np.int32)
        ends = np.cumsum([text.num_tokens for text in texts])
        cells = [places[end - text.num_tokens : end] for end, text in zip(ends, texts, strict=True)]
        result, num_runs = attend(library, _memory(texts, cells, num_cells, window))
        np.testing.assert_array_equal(result, expected)
        assert num_runs == 1 + 1 + 2 + 1 + 1 + 1


def test_a_shared_prefix_and_lower_cells_for_what_follows(library: ctypes.CDLL) -> None:
    """As after cells below became free: both texts go on in front of what they share."""
    rng = np.random.default_rng(2)
    first, second = _text(rng, 150, 20), _text(rng, 150, 20)
    second.k[:100], second.v[:100] = first.k[:100], first.v[:100]
    shared = np.arange(100, 200, dtype=np.int32)
    cells = [np.concatenate([shared, start + np.arange(50, dtype=np.int32)]) for start in (0, 50)]
    result, num_runs = attend(library, _memory([first, second], cells, 200))
    np.testing.assert_array_equal(result, np.concatenate([_alone(library, t) for t in (first, second)]))
    assert num_runs == 2


def test_positions_that_begin_late(library: ctypes.CDLL) -> None:
    """What fell out of a window is gone from the memory; the rest adds up as before."""
    rng = np.random.default_rng(3)
    text = _text(rng, 300, 12)
    head = _memory([text], [rng.permutation(300).astype(np.int32)], 300, window=40)
    assert head.positions is not None
    kept = np.flatnonzero(head.positions > 300 - 12 - 41)
    part = dataclasses.replace(
        head,
        k=head.k[kept],
        v=head.v[kept],
        mask=None if head.mask is None else head.mask[:, kept].copy(),
        positions=head.positions[kept],
    )
    np.testing.assert_array_equal(attend(library, part)[0], attend(library, head)[0])


@pytest.mark.parametrize("positions", ["the same", "far apart"])
def test_positions_that_are_no_order(library: ctypes.CDLL, positions: str) -> None:
    """Then cells are added up as they lie, and the result is right."""
    rng = np.random.default_rng(4)
    text = _text(rng, 100, 9)
    head = _memory([text], [np.arange(100, dtype=np.int32)], 100)
    steps = np.arange(100, dtype=np.int32)
    odd = dataclasses.replace(head, positions=steps // 2 if positions == "the same" else steps * 100_000)
    np.testing.assert_allclose(attend(library, odd)[0], head.expected(), rtol=2e-5, atol=2e-5)
