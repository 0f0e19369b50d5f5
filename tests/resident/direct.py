"""The model that ships, computed by llama.cpp with no engine in between: what answers are held against."""

import functools
from collections.abc import Sequence

import numpy as np
from caravan.models.resident import model_path
from numpy.typing import NDArray

from tests.llama.native import NativeContext, Run

_NUM_CELLS = 1024
# As a server has it: llama.cpp's own choice of attention, and cells in float16.
_SETTINGS = {"n_ctx": _NUM_CELLS, "n_batch": _NUM_CELLS, "n_ubatch": _NUM_CELLS}
_AS_SERVED = {"flash_attn_type": -1, "type_k": 1, "type_v": 1}


class Direct:
    """Log probabilities of next tokens, from the file alone."""

    def __init__(self) -> None:
        self._context = NativeContext(model_path(), **_SETTINGS, **_AS_SERVED)
        self._vocab = self._context.model.vocab

    def tokenize(self, text: str) -> list[int]:
        """Ids of a text, special tokens recognised."""
        return self._vocab.tokenize(text, add_special=True, parse_special=True)

    @functools.cached_property
    def ids(self) -> dict[bytes, int]:
        """The token of some bytes."""
        return {self.token_bytes(token_id): token_id for token_id in range(self._vocab.size)}

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end an answer."""
        return self._vocab.end_of_generation_ids

    def token_bytes(self, token_id: int) -> bytes:
        """What a token adds to a text."""
        return self._vocab.token_bytes(token_id)

    def logprobs(self, token_ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-softmax after each of the tokens, float64 [num_tokens, vocab_size]."""
        self._context.remove(0)
        logits = self._context.compute(Run(0, 0, token_ids, all_logits=True)).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def close(self) -> None:
        """Free the model."""
        self._context.close()
