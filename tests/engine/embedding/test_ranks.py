"""What the head of a ranking model says: by arithmetic that is not llama.cpp's, in any company."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from caravan.engine.embedding.factory import first_fault, traits_of
from caravan.engine.embedding.values import Pooling
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.model import Model
from numpy.typing import NDArray

from tests.engine.embedding.test_embedder import NOISE, Opened, texts
from tests.tiny_bert import head, write_tiny_bert
from tests.tiny_model import write_tiny_judge


def judged(model: Model, token_ids: tuple[int, ...]) -> NDArray[np.float64]:
    """The probabilities of yes and of no after the last token."""
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(model.path).tensors}
    scores = np.exp(tensors["cls.output.weight"] @ rows_of(model, token_ids)[-1])
    return np.asarray(scores / scores.sum())


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a head."""
    path = tmp_path_factory.mktemp("ranks") / "bert.gguf"
    write_tiny_bert(path, pooling=gguf.PoolingType.RANK, has_head=True)
    return path


def rows_of(model: Model, token_ids: tuple[int, ...]) -> NDArray[np.float64]:
    """The vectors of the tokens of a text, as they are computed for a head."""
    context = EmbeddingContext(
        model,
        num_cells=640,
        batch_size=640,
        max_sequences=1,
        num_threads=1,
        keeps_pairs=not library.has_runs_of_rows(),
    )
    batch = Batch(640)
    batch.add(0, 0, token_ids, wants_logits=True)
    batch.mark(len(token_ids))
    rows = context.compute(batch)[0].astype(np.float64)
    context.close()
    return rows


def expected(model: Model, token_ids: tuple[int, ...]) -> float:
    """What the head makes of the first token's vector, in float64."""
    first = rows_of(model, token_ids)[0]
    tensors = head()
    hidden = np.tanh(tensors["cls.weight"] @ first + tensors["cls.bias"])
    return float((tensors["cls.output.weight"] @ hidden + tensors["cls.output.bias"])[0])


def test_the_head_is_computed_in_any_company(ranker: Path) -> None:
    given = texts(1, 3, 50, 300, 1, *[20] * 30, 500)
    with Opened(ranker) as opened:
        assert traits_of(opened.model).pooling is Pooling.RANK
        assert traits_of(opened.model).embedding_size == 1
        packed = opened.vectors(given, Pooling.RANK, name="packed")
        assert all(rank.shape == (1,) for rank in packed)
        for index in (0, 1, 2, 3, 17, 34):
            (alone,) = opened.vectors((given[index],), Pooling.RANK, name=f"alone {index}")
            assert packed[index] == pytest.approx(alone, rel=0, abs=NOISE)
            assert packed[index] == pytest.approx(expected(opened.model, given[index]), abs=1e-4)
        assert np.std(packed) > 0.1
        assert first_fault(opened.model, opened.config) is None


def test_without_a_head_there_are_no_ranks(tmp_path: Path) -> None:
    path = tmp_path / "bert.gguf"
    write_tiny_bert(path, pooling=gguf.PoolingType.RANK)
    model = Model(path)
    assert traits_of(model).pooling is Pooling.MEAN
    model.close()


def test_yes_and_no_are_judged_at_the_end(tmp_path: Path) -> None:
    """A text that is cut to pieces on its way keeps its last token."""
    path = tmp_path / "judge.gguf"
    write_tiny_judge(path, "{query}{document}")
    given = texts(2, 3, 600, *[20] * 5)
    with Opened(path) as opened:
        assert opened.config.context_size > opened.embedder._fitting_context().batch_size
        ranks = opened.vectors(given, Pooling.RANK)
        for token_ids, rank in zip(given, ranks, strict=True):
            np.testing.assert_allclose(rank, judged(opened.model, token_ids), atol=1e-4)
