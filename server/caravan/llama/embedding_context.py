"""Weights at work for vectors: a `llama_context` that gives what the last layer has of each token."""

import contextlib

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.config.llama_config import PLAIN_CONTEXT, ContextOptions
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context_params import set_computing
from caravan.llama.control_vector import steer
from caravan.llama.model import Model
from caravan.llama.native_context import ContextError, check, made, params_of, rows


class EmbeddingContext:
    """Owns a `llama_context` without pooling, so that texts may be computed in pieces and packed at will.

    With `ranks`, the head of a ranking model is put on each text's first token, or on its last in a model
    whose tokens do not see what comes after them (`LLAMA_POOLING_TYPE_RANK`).
    With `keeps_pairs`, attention on a processor is not flash attention: it keeps a number for each pair.
    `num_cells` bounds the tokens of all texts in memory together. Calls that would abort the process raise
    instead. One thread only. Close it before its model.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_cells: int,
        batch_size: int,
        max_sequences: int,
        num_threads: int,
        keeps_pairs: bool,
        ranks: bool = False,
        options: ContextOptions = PLAIN_CONTEXT,
    ) -> None:
        params = params_of(num_cells, batch_size, max_sequences)
        set_computing(params, options, num_threads)
        params.embeddings = True
        params.pooling_type = (
            llama_cpp.LLAMA_POOLING_TYPE_RANK if ranks else llama_cpp.LLAMA_POOLING_TYPE_NONE
        )
        params.swa_full = False
        if keeps_pairs and not library.has_gpu():
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._pointer = made(model, params, options)
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_free, self._pointer)
        if options.control_vectors:
            steer(self._pointer, model, options)
        self._memory = llama_cpp.llama_get_memory(self._pointer)
        self._vocab_size = model.vocab.size
        self.num_cells = num_cells
        self.batch_size = batch_size
        self.max_sequences = max_sequences
        self.width = model.num_ranks if ranks else model.embedding_size
        self._ranks = ranks

    def compute(self, batch: Batch) -> list[NDArray[np.float32]]:
        """Compute the batch's texts, all of whose tokens are marked: for each run of tokens of one text, in
        their order, its vectors, float32 [num_tokens, width], or what the head says of it, [1, width].

        Views of llama.cpp's own memory, valid until the next call. Raises ContextError when the computation
        fails, and ValueError on a batch that llama.cpp would die of.
        """
        check(batch, self.batch_size, self._vocab_size, self.max_sequences)
        count = batch.num_tokens
        if batch.num_outputs != count or batch.positions[:count].max() >= self.num_cells:
            raise ValueError("the batch has a token without a vector, or a position outside the context")
        # Without a memory, this encodes.
        code = llama_cpp.llama_decode(self._pointer, batch.native())
        if code != 0:
            raise ContextError(f"llama.cpp cannot compute embeddings (code {code})")
        seq_ids = batch.seq_ids[:count]
        starts = np.flatnonzero(np.diff(seq_ids, prepend=-1))
        if self._ranks:
            found = (llama_cpp.llama_get_embeddings_seq(self._pointer, seq_ids[start]) for start in starts)
            return [rows(numbers, 1, self.width) for numbers in found]
        vectors = rows(llama_cpp.llama_get_embeddings(self._pointer), count, self.width)
        return np.split(vectors, starts[1:])

    def remove_sequence(self, seq_id: int) -> None:
        """Forget a text."""
        if self._memory:
            llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def close(self) -> None:
        """Free the native context; a second call does nothing."""
        self._exit.close()
