"""What contexts for text and for vectors have in common: how they are made, looked after and read."""

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from caravan.config.llama_config import ContextOptions
from caravan.llama import library
from caravan.llama.batch import Batch
from caravan.llama.context_params import scales_positions
from caravan.llama.model import Model


class ContextError(Exception):
    """llama.cpp made no context: too little memory, or sizes it does not take."""


def params_of(num_cells: int, batch_size: int, max_sequences: int) -> "llama_cpp.llama_context_params":
    """Begin the parameters of a context with unified memory."""
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = num_cells
    params.n_batch = params.n_ubatch = batch_size
    params.n_seq_max = max_sequences
    params.kv_unified = True
    return params


def made(model: Model, params: "llama_cpp.llama_context_params", options: ContextOptions) -> int:
    """Make a native context; its pointer. Raises ContextError."""
    if scales_positions(options) and not model.has_rotary_positions:
        raise ContextError(
            f"{model.path} does not rotate positions: rope and yarn options have no effect on it"
        )
    with library.reasons() as reasons:
        pointer = llama_cpp.llama_init_from_model(model.pointer, params)
    if not pointer:
        why = f": {reasons[0]}" if reasons else ""
        raise ContextError(f"llama.cpp cannot make a context of {params.n_ctx} cells for {model.path}{why}")
    return int(pointer)


def check(batch: Batch, batch_size: int, vocab_size: int, max_sequences: int) -> None:
    """Raise ValueError over a batch that llama.cpp would die of."""
    count = batch.num_tokens
    if not 0 < count <= batch_size:
        raise ValueError(f"a batch of {count} tokens, where 1 to {batch_size} are possible")
    if batch.lowest_token_id < 0 or batch.highest_token_id >= vocab_size:
        raise ValueError("the batch has a token id outside the vocabulary")
    if batch.highest_seq_id >= max_sequences:
        raise ValueError("the batch has a sequence id outside the context")


def rows(address: "ctypes._Pointer[ctypes.c_float]", num_rows: int, width: int) -> NDArray[np.float32]:
    """Look at native memory: a view, float32 [num_rows, width]."""
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (num_rows, width))
