"""The generated vocabulary and models are what they claim to be."""

import random
import resource
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
from caravan.engine.embedding.factory import traits_of
from caravan.engine.embedding.values import Pooling
from caravan.llama.batch import Batch
from caravan.llama.context import Context
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.model import Model

from tests.bench import models, vocabulary

Q8_0, Q4_K = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_K
SHAPE = models.Shape("test", 1, 32, 2, 1, 64, Q8_0)
MIXED = models.Shape("mixed", 3, 256, 4, 2, 256, Q4_K)
MIXTURE = models.Shape("mixture", 2, 256, 4, 2, 256, Q4_K, models.Family.MIXTURE, experts=4, used=2)
HYBRID = models.Shape("hybrid", 2, 256, 4, 2, 256, Q4_K, models.Family.HYBRID, attending=(1,))


@pytest.mark.parametrize("shape", [SHAPE, MIXED, MIXTURE, HYBRID], ids=lambda shape: shape.name)
def test_a_model_of_words(shape: models.Shape, tmp_path: Path) -> None:
    assert len(set(vocabulary.tokens())) == vocabulary.SIZE
    path = tmp_path / "test.gguf"
    models.write_model(path, shape)
    model = Model(path)
    context = Context(model, num_cells=256, batch_size=64, max_sequences=1, num_threads=1)
    try:
        text = vocabulary.words(20, random.Random(0))
        token_ids = model.vocab.tokenize(text, add_special=True, parse_special=False)
        assert len(token_ids) == 20
        drawn = draw(context, token_ids, 20)
        assert set(drawn) <= set(vocabulary.word_ids())
        assert len(set(drawn)) > 10
        answer = b"".join(map(model.vocab.token_bytes, drawn)).decode()
        assert model.vocab.tokenize(answer, add_special=False, parse_special=False) == drawn
    finally:
        context.close()
        model.close()


def test_a_model_that_ranks(tmp_path: Path) -> None:
    path = tmp_path / "ranker.gguf"
    models.write_ranker(path, SHAPE)
    model = Model(path)
    assert traits_of(model).pooling is Pooling.RANK
    context = EmbeddingContext(
        model, num_cells=64, batch_size=64, max_sequences=1, num_threads=1, keeps_pairs=True, ranks=True
    )
    try:
        batch = Batch(64)
        token_ids = model.vocab.tokenize(
            vocabulary.words(20, random.Random(0)), add_special=True, parse_special=False
        )
        batch.add(0, 0, token_ids, wants_logits=True)
        batch.mark(20)
        assert context.compute(batch)[0].shape == (1, 1)
    finally:
        context.close()
        model.close()


@pytest.mark.parametrize("name", ["nano-q8", models.RANKER])
def test_a_disk_without_room_is_no_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(models.NoModelError, match=r"GB of disk"):
        models.ensure_model(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_becomes_full_keeps_no_draft(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, limits[1]))
    try:
        with pytest.raises(models.NoModelError, match="could not be written"):
            models.ensure_model("nano", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def draw(context: Context, token_ids: list[int], count: int) -> list[int]:
    """Greedy text after a prompt."""
    batch = Batch(64)
    drawn: list[int] = []
    new = token_ids
    while len(drawn) < count:
        position = len(token_ids) + len(drawn) - len(new) if drawn else 0
        batch.clear()
        batch.add(0, position, new, wants_logits=True)
        context.decode(batch)
        new = [int(np.argmax(context.logits()[0]))]
        drawn += new
    return drawn
