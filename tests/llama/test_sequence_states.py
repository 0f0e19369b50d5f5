"""Ranges of sequences out of llama.cpp's memory and into it: what this rests on."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from caravan.config.llama_config import PLAIN_CONTEXT, ContextOptions
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from caravan.llama.sequence_states import RangeStates, WholeStates
from numpy.typing import NDArray

from tests.conftest import TinyModels
from tests.tiny_model import ARCHITECTURES

TEXT = [number * 7 % 250 for number in range(60)]
CUTTABLE = ("llama", "qwen2")


@contextmanager
def opened(
    tiny_models: TinyModels, name: str, max_sequences: int = 4, options: ContextOptions = PLAIN_CONTEXT
) -> Iterator[Context]:
    model = Model(tiny_models[name])
    context = Context(
        model,
        num_cells=256,
        batch_size=64,
        max_sequences=max_sequences,
        num_threads=1,
        num_spare_rows=1,
        saves_ranges=True,
        options=options,
    )
    yield context
    context.close()
    model.close()


def decode(context: Context, seq_id: int, start: int, tokens: list[int]) -> NDArray[np.float32]:
    """The logits after the last of these."""
    batch = Batch(64)
    batch.add(seq_id, start, tokens, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    return np.array(context.logits()[-1])


@pytest.mark.usefixtures("exact_numbers")
@pytest.mark.parametrize("name", CUTTABLE)
def test_a_sequence_of_restored_ranges_goes_on_as_the_one_they_are_of(
    tiny_models: TinyModels, name: str
) -> None:
    with opened(tiny_models, name) as context:
        decode(context, 0, 0, TEXT)
        ranges = context.ranges
        assert isinstance(ranges, RangeStates)
        pieces = [ranges.save(0, start, start + 20) for start in (0, 20, 40)]
        for number, piece in enumerate(pieces[:2]):
            assert ranges.restore(2, piece, 20 * number, 20 * number + 20)
        # A part of the last one, behind a part that another sequence shares with it.
        assert ranges.restore(2, pieces[2], 40, 50)
        other = decode(context, 2, 50, [9, 8, 7])
        decode(context, 1, 0, TEXT[:50])
        assert np.allclose(other, decode(context, 1, 50, [9, 8, 7]), atol=1e-4)
        assert np.allclose(decode(context, 0, 60, [5]), decode(context, 3, 0, [*TEXT, 5]), atol=1e-4)


def test_cells_of_another_type_are_restored_to_the_last_bit(tiny_models: TinyModels) -> None:
    options = ContextOptions(cache_type_k="bf16", cache_type_v="f32")
    with opened(tiny_models, "llama", options=options) as context:
        decode(context, 0, 0, TEXT)
        assert context.ranges is not None
        pieces = [context.ranges.save(0, start, start + 30) for start in (0, 30)]
        for number, piece in enumerate(pieces):
            assert context.ranges.restore(1, piece, 30 * number, 30 * number + 30)
        again = [context.ranges.save(1, start, start + 30) for start in (0, 30)]
        assert all(np.array_equal(left, right) for left, right in zip(pieces, again, strict=True))


@pytest.mark.parametrize("name", CUTTABLE)
def test_what_cannot_be_read_changes_nothing(tiny_models: TinyModels, name: str) -> None:
    with opened(tiny_models, name) as context:
        decode(context, 0, 0, TEXT)
        assert context.ranges is not None
        piece = context.ranges.save(0, 0, 20)
        for wrong in (piece[:-1], piece[:50], np.zeros_like(piece), piece[::-1].copy()):
            assert not context.ranges.restore(1, wrong, 0, 20)
        assert context.min_position(1) == -1
        # All cells but those of the text are free.
        for start in (0, 64, 128):
            decode(context, 1, start, [1] * 64)
        assert not context.ranges.restore(2, piece, 0, 20)


@pytest.mark.usefixtures("exact_numbers")
@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - set(CUTTABLE)))
def test_what_cannot_be_cut_is_restored_whole(tiny_models: TinyModels, name: str) -> None:
    with opened(tiny_models, name) as context:
        decode(context, 0, 0, TEXT)
        ranges = context.ranges
        assert isinstance(ranges, WholeStates)
        assert ranges.restore(2, ranges.save(0, 0, 60), 0, 60)
        assert np.allclose(decode(context, 2, 60, [5]), decode(context, 0, 60, [5]), atol=1e-4)
        with pytest.raises(ValueError, match="no range from 10 to 60"):
            ranges.save(0, 10, 60)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - set(CUTTABLE)))
def test_what_cannot_be_read_whole_leaves_nothing(tiny_models: TinyModels, name: str) -> None:
    with opened(tiny_models, name) as context:
        decode(context, 0, 0, TEXT)
        assert context.ranges is not None
        state = context.ranges.save(0, 0, 60)
        for wrong in (state[:-1], state[: len(state) // 2], state[::-1].copy()):
            assert not context.ranges.restore(1, wrong, 0, 60)
            assert len(context.save_sequence(1)) == len(context.save_sequence(3))


def test_without_an_id_to_spare_there_are_none(tiny_models: TinyModels) -> None:
    with opened(tiny_models, "llama", max_sequences=256) as context:
        assert context.ranges is None
