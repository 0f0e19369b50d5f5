"""A model as its embedder uses it: sizes of contexts, the pooling of its file, a first text."""

from collections.abc import Callable

import numpy as np

from server.engine.config import EngineConfig
from server.engine.embedder import Embedder
from server.engine.embedding import EmbedOutput, EmbedRequest, ModelTraits, Pooling
from server.llama.embedding_context import EmbeddingContext
from server.llama.estimate import VECTOR_BATCH, VECTOR_TEXTS
from server.llama.model import Model

# llama.cpp's numbers; a file without one, or with none at all, gets the mean.
_POOLINGS = {1: Pooling.MEAN, 2: Pooling.CLS, 3: Pooling.LAST, 4: Pooling.RANK}
# A build that breaks AMX passes short texts and dies on the first long one.
_FIRST_TEXT_TOKENS = 300


def traits_of(model: Model, *, can_generate: bool = True) -> ModelTraits:
    """What the web side is told of the model."""
    return ModelTraits(
        can_generate=can_generate,
        embedding_size=model.embedding_size,
        pooling=_POOLINGS.get(model.pooling or 0, Pooling.MEAN),
    )


def make_embedder(
    model: Model, config: EngineConfig, publish: Callable[[list[EmbedOutput]], None], *, is_whole: bool
) -> Embedder:
    """An embedder that has taken no memory yet."""

    def make_context(num_cells: int) -> EmbeddingContext:
        return EmbeddingContext(
            model,
            num_cells=num_cells,
            batch_size=num_cells if is_whole else min(VECTOR_BATCH, num_cells),
            max_sequences=VECTOR_TEXTS,
            num_threads=config.num_threads,
        )

    return Embedder(
        make_context,
        publish,
        max_length=config.context_size,
        step_seconds=config.step_seconds,
        is_whole=is_whole,
    )


def first_fault(model: Model, config: EngineConfig) -> str | None:
    """What is wrong with the vector of a text of some hundred tokens; None where nothing is."""
    outputs: list[EmbedOutput] = []
    embedder = make_embedder(model, config, outputs.extend, is_whole=True)
    count = min(_FIRST_TEXT_TOKENS, config.context_size)
    token_ids = tuple(np.random.default_rng(0).integers(0, model.vocab.size, count).tolist())
    embedder.add(EmbedRequest(id="first", inputs=(token_ids,), pooling=Pooling.MEAN))
    embedder.step(is_beside=False)
    embedder.close()
    return outputs[0].error
