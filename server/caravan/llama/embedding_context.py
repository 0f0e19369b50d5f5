"""Weights at work for vectors: a `llama_context` that leaves the last layer's state of every token."""

import contextlib
import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.llama.batch import Batch
from caravan.llama.context import ContextError
from caravan.llama.model import Model


class EmbeddingContext:
    """Owns a `llama_context` without pooling, so that texts may be computed in pieces and packed at will.

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
        exact_attention: bool,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = num_cells
        params.n_batch = batch_size
        params.n_ubatch = batch_size
        params.n_seq_max = max_sequences
        params.n_threads = num_threads
        params.n_threads_batch = num_threads
        params.embeddings = True
        params.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_NONE
        params.kv_unified = True
        params.swa_full = False
        # Flash attention on a CPU adds up in float16: a vector then depends on its neighbours, by up to
        # 1e-3. Without it, attention takes memory by the pair.
        if exact_attention and not llama_cpp.llama_supports_gpu_offload():
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._pointer = llama_cpp.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise ContextError(f"llama.cpp cannot make an embedding context of {num_cells} cells")
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_free, self._pointer)
        self._memory = llama_cpp.llama_get_memory(self._pointer)
        self._vocab_size = model.vocab.size
        self.num_cells = num_cells
        self.batch_size = batch_size
        self.max_sequences = max_sequences
        self.width = model.embedding_size

    def compute(self, batch: Batch) -> NDArray[np.float32]:
        """Vectors of the batch's tokens, all of them marked: float32 [num_tokens, width].

        A view of llama.cpp's own memory, valid until the next call. Raises ContextError when the computation
        fails, and ValueError on a batch that llama.cpp would die of.
        """
        count = batch.num_tokens
        ids = batch.token_ids[:count]
        if not 0 < count <= self.batch_size or batch.num_outputs != count:
            raise ValueError(f"a batch of {count} tokens, where 1 to {self.batch_size} are possible")
        if ids.min() < 0 or ids.max() >= self._vocab_size:
            raise ValueError("the batch has a token id outside the vocabulary")
        if (
            batch.seq_ids[:count].max() >= self.max_sequences
            or batch.positions[:count].max() >= self.num_cells
        ):
            raise ValueError("the batch has a sequence id or a position outside the context")
        # Without a memory, this encodes.
        code = llama_cpp.llama_decode(self._pointer, batch.native())
        if code != 0:
            raise ContextError(f"llama.cpp cannot compute embeddings (code {code})")
        address = llama_cpp.llama_get_embeddings(self._pointer)
        return np.ctypeslib.as_array(
            ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (count, self.width)
        )

    def remove_sequence(self, seq_id: int) -> None:
        """Forget a text."""
        if self._memory:
            llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def close(self) -> None:
        """Free the native context; a second call does nothing."""
        self._exit.close()
