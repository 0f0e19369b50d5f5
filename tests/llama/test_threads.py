"""Where the threads of a context may change, what it computes does not depend on how many there are."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from caravan.config.llama_config import ContextOptions
from caravan.config.llama_options import CacheType
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context import Context, DecodeStatus
from caravan.llama.model import Model

from tests.conftest import TinyModels
from tests.llama.native import Rows, text
from tests.llama.option_contexts import Heads
from tests.tiny_model import ARCHITECTURES

# ggml splits the cells of a single row among threads from 512 cells on.
LENGTHS = (100, 3, 300, 250)


@contextmanager
def opened(path: Path, options: ContextOptions, *, wants_change: bool = True) -> Iterator[Context]:
    """A context whose threads may change."""
    model = Model(path)
    context = Context(model, num_cells=2048, batch_size=512, max_sequences=4, num_threads=1, options=options)
    try:
        if wants_change and not context.can_change_threads:
            pytest.skip("the attention of this build adds up by threads")
        yield context
    finally:
        context.close()
        model.close()


def computed(context: Context, numbers: tuple[int, ...]) -> list[Rows]:
    """Logits after pieces of a prompt, and of answers alone and side by side, each step by another number."""
    context.clear()
    batch, threads, rows = Batch(512), itertools.cycle(numbers), list[Rows]()
    token_ids, position = text(1, 1000), 0

    def step(num_sequences: int, length: int) -> None:
        nonlocal position
        batch.clear()
        for seq_id in range(num_sequences):
            run = token_ids[position + seq_id : position + seq_id + length]
            batch.add(seq_id, position, run, wants_logits=True)
        context.compute_with(next(threads))
        assert context.decode(batch) is DecodeStatus.OK
        rows.append(context.logits().copy())
        position += length

    for length in (*LENGTHS, *[1] * 5):
        step(1, length)
    for seq_id in (1, 2, 3):
        context.copy_sequence(0, seq_id, None)
    for _ in range(5):
        step(4, 1)
    return rows


def assert_equal_with_any(context: Context) -> None:
    alone = computed(context, (1,))
    for numbers in ((2,), (3,), (8,), (1, 4, 2)):
        for found, expected in zip(computed(context, numbers), alone, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_threads_stay_as_they_are_with_other_builds(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "has_runs_of_rows", lambda: False)
    for architecture in ARCHITECTURES:
        with opened(tiny_models[architecture], ContextOptions(), wants_change=False) as context:
            assert not context.can_change_threads


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_models_of_every_memory(tiny_models: TinyModels, architecture: str) -> None:
    with opened(tiny_models[architecture], ContextOptions()) as context:
        assert_equal_with_any(context)


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", ["f16", "f32", "q8_0", "q4_0"])
def test_cells_of_any_type(heads: Heads, kind: CacheType, size: int) -> None:
    with opened(heads.by_size[size], ContextOptions(cache_type_k=kind, cache_type_v=kind)) as context:
        assert_equal_with_any(context)
