"""The context as the engine uses it, with llama.cpp's own default kernels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.conftest import TinyModels
from tests.llama.native import text
from tests.tiny_model import ARCHITECTURES

Opener = Callable[[str], Context]
# Flash attention adds up in float16; the tiny models' logits have a standard deviation of 6.
_ROUNDING = 0.1


@pytest.fixture
def opened(tiny_models: TinyModels) -> Iterator[Opener]:
    """Opens contexts by architecture; all are closed at the end."""
    with ExitStack() as stack:

        def open_context(architecture: str) -> Context:
            model = Model(tiny_models[architecture])
            stack.callback(model.close)
            context = Context(model, num_cells=256, batch_size=128, max_sequences=4, num_threads=2)
            stack.callback(context.close)
            return context

        yield open_context


def compute(context: Context, *runs: tuple[int, int, list[int]]) -> NDArray[np.float32]:
    batch = Batch(128)
    for seq_id, position, token_ids in runs:
        batch.add(seq_id, position, token_ids, wants_logits=True)
    assert context.decode(batch) is DecodeStatus.OK
    return context.logits().copy()


def refusal(context: Context, batch: Batch) -> str:
    with pytest.raises(ValueError, match=r"batch|rows") as caught:
        context.decode(batch)
    return str(caught.value)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neighbours_change_logits_by_no_more_than_rounding(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    texts = [text(seed, 20 + seed) for seed in range(4)]
    compute(context, *((seq_id, 0, texts[seq_id][:7]) for seq_id in (2, 0, 3, 1)))
    rows = compute(context, *((seq_id, 7, texts[seq_id][7:]) for seq_id in (1, 3, 0, 2)))
    for row, seq_id in zip(rows, (1, 3, 0, 2), strict=True):
        (alone,) = compute(opened(architecture), (0, 0, texts[seq_id]))
        assert np.abs(row - alone).max() < _ROUNDING
        assert row.std() > 3


def test_logits_are_a_view_that_can_be_written_until_the_next_decode(opened: Opener) -> None:
    context = opened("llama")
    assert context.logits().shape == (0, context.vocab_size)
    compute(context, (0, 0, [1, 2, 3]))
    context.logits()[0, 5] = -np.inf
    assert context.logits()[0, 5] == -np.inf
    batch = Batch(8)
    batch.add(1, 0, [1, 2], wants_logits=False)
    assert context.decode(batch) is DecodeStatus.OK
    assert context.logits().shape == (0, context.vocab_size)


def test_batches_that_would_end_the_process_are_refused(opened: Opener) -> None:
    context = opened("llama")
    assert "0 tokens" in refusal(context, Batch(4))
    for seq_id, token_ids in ((0, [-1]), (0, [context.vocab_size]), (4, [1])):
        batch = Batch(4)
        batch.add(seq_id, 0, token_ids, wants_logits=True)
        assert "outside" in refusal(context, batch)
    long = Batch(129)
    long.add(0, 0, [1] * 129, wants_logits=True)
    assert "129" in refusal(context, long)
    greedy = Batch(8)
    for position in range(5):
        greedy.add(0, position, [1], wants_logits=True)
    assert "5 rows" in refusal(context, greedy)
    assert context.min_position(0) == -1


def test_a_broken_batch_is_a_failure_and_a_full_memory_is_not(opened: Opener) -> None:
    context = opened("llama")
    compute(context, (0, 0, text(1, 128)))
    batch = Batch(128)
    batch.add(0, 130, [1], wants_logits=True)
    assert context.decode(batch) is DecodeStatus.FAILED
    compute(context, (1, 0, text(2, 128)))
    batch.clear()
    batch.add(2, 0, [1], wants_logits=True)
    assert context.decode(batch) is DecodeStatus.NO_ROOM
    assert context.logits().shape[0] == 0
    context.clear()
    assert [context.min_position(seq_id) for seq_id in range(3)] == [-1] * 3
    assert context.decode(batch) is DecodeStatus.OK


def test_a_batch_that_is_given_up_leaves_what_was_there(
    opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    context = opened("llama")
    compute(context, (0, 0, text(1, 20)))
    expected = compute(context, (0, 20, text(2, 30)))
    context.truncate_sequence(0, 20)
    batch = Batch(128)
    batch.add(0, 20, text(2, 30), wants_logits=True)
    asked = 0

    def is_late() -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    assert context.decode(batch, is_late) is DecodeStatus.STOPPED
    assert asked == 6
    assert context.logits().shape[0] == 0
    context.truncate_sequence(0, 20)
    assert np.array_equal(compute(context, (0, 20, text(2, 30))), expected)
    assert asked == 6, "the next batch asks nobody"
    context.truncate_sequence(0, 20)
    assert context.decode(batch, lambda: False) is DecodeStatus.OK
    assert not caplog.records, "it is no error"
    assert context.decode(batch, lambda: False) is DecodeStatus.FAILED, "those tokens are there already"
    assert "failed to initialize batch" in caplog.text


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_state_is_copied_whole_or_not_at_all(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    assert not context.can_cut
    compute(context, (0, 0, text(1, 20)))
    with pytest.raises(ValueError, match="whole"):
        context.copy_sequence(0, 1, 10)
    with pytest.raises(ValueError, match="cannot be cut"):
        context.truncate_sequence(0, 10)
    context.copy_sequence(0, 1, None)
    one, two = compute(context, (0, 20, [3]), (1, 20, [3]))
    assert np.abs(one - two).max() < _ROUNDING


def test_closing_twice_does_nothing(opened: Opener) -> None:
    context = opened("llama")
    context.close()
    context.close()
