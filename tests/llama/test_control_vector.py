"""Control vectors: what they do to logits, and files that are none."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
import pytest
from caravan.config.llama_config import ContextOptions
from caravan.llama.batch import Batch
from caravan.llama.context import Context, ContextError
from caravan.llama.control_vector import read_control_vectors
from caravan.llama.gguf_reader import HeaderError
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.conftest import TinyModels
from tests.tiny_heads import write_control_vector
from tests.tiny_model import EMBED

Floats = NDArray[np.float32]


class Logits(Protocol):
    def __call__(self, *vectors: tuple[Path, float], layers: tuple[int, int] | None = None) -> Floats: ...


@pytest.fixture
def logits(tiny_models: TinyModels) -> Iterator[Logits]:
    """Logits of a text with control vectors."""
    with ExitStack() as stack:
        model = Model(tiny_models["llama"])
        stack.callback(model.close)

        def found(*vectors: tuple[Path, float], layers: tuple[int, int] | None = None) -> Floats:
            named = tuple((str(path), scale) for path, scale in vectors)
            options = ContextOptions(control_vectors=named, control_vector_layers=layers)
            sizes: dict[str, Any] = {"num_cells": 64, "batch_size": 16, "max_sequences": 2, "num_threads": 1}
            context = Context(model, options=options, **sizes)
            batch = Batch(16)
            batch.add(0, 0, list(range(10)), wants_logits=True)
            context.decode(batch)
            row: Floats = context.logits()[0].copy()
            context.close()
            return row

        yield found


def drawn(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(EMBED).astype(np.float32)


def test_a_strong_direction_is_all_that_is_left(
    logits: Logits, tiny_models: TinyModels, tmp_path: Path
) -> None:
    """What is added to the last layer, and outweighs all else, goes through the last norm to the logits."""
    direction = drawn(1)
    write_control_vector(tmp_path / "strong.gguf", {1: direction})
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tiny_models["llama"]).tensors}
    normed = direction / np.sqrt((direction**2).mean()) * tensors["output_norm.weight"]
    expected = tensors["output.weight"] @ normed
    found = logits((tmp_path / "strong.gguf", 1e6))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(logits((tmp_path / "strong.gguf", -1e6)), -found, rtol=0, atol=1e-2)


def test_vectors_add_up_and_hold_for_their_layers(logits: Logits, tmp_path: Path) -> None:
    one, other, both = tmp_path / "one.gguf", tmp_path / "other.gguf", tmp_path / "both.gguf"
    write_control_vector(one, {1: drawn(1)})
    write_control_vector(other, {1: drawn(2)})
    write_control_vector(both, {1: 0.5 * drawn(1) - 2 * drawn(2)})
    plain = logits()
    found = logits((one, 0.5), (other, -2.0))
    np.testing.assert_allclose(found, logits((both, 1.0)), rtol=0, atol=1e-4)
    assert np.abs(found - plain).max() > 1
    np.testing.assert_array_equal(logits((both, 1.0), layers=(1, 1)), logits((both, 1.0)))
    with pytest.raises(ContextError, match="change nothing"):
        logits((both, 1.0), layers=(2, 2))
    with pytest.raises(HeaderError, match="has 2 layers, and no 3"):
        logits((both, 1.0), layers=(1, 3))


def test_what_is_no_control_vector_of_this_model_is_told(tmp_path: Path, tiny_models: TinyModels) -> None:
    cases: dict[str, dict[int, Any]] = {
        "no direction": {},
        "'direction.2' is for no layer of this model, whose last one is 1": {2: drawn(1)},
        "'direction.0' is for no layer": {0: drawn(1)},
        "'direction.1' has 32 float32, and the model's are 64": {1: drawn(1)[:32]},
        "'direction.1' has 64 numbers of type 1": {1: drawn(1).astype(np.float16)},
    }
    for index, (message, directions) in enumerate(cases.items()):
        path = tmp_path / f"{index}.gguf"
        write_control_vector(path, directions)
        with pytest.raises(HeaderError) as caught:
            read_control_vectors([(str(path), 1.0)], 2, EMBED)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(HeaderError, match="is for no layer"):
        read_control_vectors([(str(tiny_models["llama"]), 1.0)], 2, EMBED)
    with pytest.raises(OSError, match="nowhere"):
        read_control_vectors([(str(tmp_path / "nowhere.gguf"), 1.0)], 2, EMBED)
