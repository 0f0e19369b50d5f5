"""A model as its embedder uses it: sizes of contexts, the pooling of its file, a first text."""

import functools
import logging
from collections.abc import Callable

import numpy as np

from caravan.config.engine_config import FIRST_TOKENS, EngineConfig
from caravan.engine.embedding.embedder import Embedder, NoMemoryError
from caravan.engine.embedding.values import EmbedOutput, EmbedRequest, ModelTraits, Pooling, PrefixReuse
from caravan.llama.context import ContextError
from caravan.llama.devices import gpus
from caravan.llama.embedding_context import EmbeddingContext
from caravan.llama.gguf_header import GgufHeader, read_header
from caravan.llama.model import Model
from caravan.llama.model_file import LookAtWeights, always_sound
from caravan.runtime.machine import available_memory
from caravan.sizing.gpu_placement import texts_of_layers
from caravan.sizing.memory_estimate import VECTOR_BATCH, VECTOR_TEXTS, bytes_of_vectors
from caravan.sizing.vector_attention import keeps_pairs

log = logging.getLogger(__name__)

# What ggml takes for the graphs of a context, of whatever model. Where it is missing, it ends the process.
GRAPHS = 32 << 20
# llama.cpp's numbers; a file without one, or with none at all, gets the mean.
_POOLINGS = {1: Pooling.MEAN, 2: Pooling.CLS, 3: Pooling.LAST, 4: Pooling.RANK}
# One of them at least makes a rank of a vector.
_HEADS = {"cls.weight", "cls.output.weight"}


def traits_of(
    model: Model,
    *,
    can_generate: bool = True,
    max_drafted: int = 0,
    prefix_reuse: PrefixReuse | None = None,
) -> ModelTraits:
    """Tell what the web side has to know of the model."""
    pooling = _POOLINGS.get(model.pooling or 0, Pooling.MEAN)
    if pooling is Pooling.RANK and not _HEADS & read_header(model.path).tensors.keys():
        log.warning("%s says that it ranks, but has no head for it: it makes embeddings", model.path)
        pooling = Pooling.MEAN
    size = model.num_ranks if pooling is Pooling.RANK else model.embedding_size
    return ModelTraits(
        can_generate=can_generate,
        max_drafted=max_drafted,
        prefix_reuse=prefix_reuse,
        embedding_size=size,
        pooling=pooling,
    )


def make_embedder(
    model: Model,
    config: EngineConfig,
    publish: Callable[[list[EmbedOutput]], None],
    *,
    is_whole: bool,
    free_memory: Callable[[], int] = available_memory,
    look_at_weights: LookAtWeights = always_sound,
) -> Embedder:
    """An embedder that has taken no memory yet. It takes some only while `free_memory()` bytes suffice."""

    def make_context(num_cells: int) -> EmbeddingContext:
        _check_memory(config, num_cells, free_memory())
        batch_size = num_cells if is_whole else min(VECTOR_BATCH, num_cells)
        try:
            return EmbeddingContext(
                model,
                num_cells=num_cells,
                batch_size=batch_size,
                max_sequences=VECTOR_TEXTS,
                num_threads=config.num_threads,
                keeps_pairs=keeps_pairs(_header(config.model_path), num_cells, batch_size),
                ranks=traits_of(model).pooling is Pooling.RANK,
                options=config.context,
            )
        except ContextError as error:
            raise _no_memory(num_cells, str(error)) from error

    return Embedder(
        make_context,
        publish,
        max_length=config.context_size,
        step_seconds=config.step_seconds,
        is_whole=is_whole,
        look_at_weights=look_at_weights,
    )


@functools.lru_cache(maxsize=1)
def _header(path: str) -> GgufHeader:
    """Read for the first embeddings only: where nobody wants any, the start need not wait for it."""
    return read_header(path)


def _check_memory(config: EngineConfig, num_cells: int, free: int) -> None:
    """Raises NoMemoryError where the machine would have to push something out, or end a process.

    What lies on GPUs is not looked at: llama.cpp itself refuses what does not fit there.
    """
    header = _header(config.model_path)
    need = bytes_of_vectors(header, num_cells, config.context) + GRAPHS
    if any(not gpu.is_shared for gpu in gpus()):
        layers = texts_of_layers(header, num_cells, VECTOR_TEXTS)
        need -= sum(layers[max(0, len(layers) - config.num_gpu_layers) :])
    if need > free:
        raise _no_memory(num_cells, f"it needs about {need >> 20} MiB, and {free >> 20} MiB are free")


def _no_memory(num_cells: int, reason: str) -> NoMemoryError:
    log.warning("no embeddings of texts of up to %d tokens: %s", num_cells, reason)
    return NoMemoryError(
        f"There is too little memory at the moment for embeddings of texts of up to {num_cells} tokens."
    )


def first_fault(model: Model, config: EngineConfig) -> str | None:
    """Tell what is wrong with the vector of a text of some hundred tokens; None where nothing is."""
    outputs: list[EmbedOutput] = []
    embedder = make_embedder(model, config, outputs.extend, is_whole=True)
    count = min(FIRST_TOKENS, config.context_size)
    token_ids = tuple(np.random.default_rng(0).integers(0, model.vocab.size, count).tolist())
    embedder.add(EmbedRequest(id="first", inputs=(token_ids,), pooling=traits_of(model).pooling))
    embedder.step(is_beside=False)
    embedder.close()
    return outputs[0].error
