"""A model on llama.cpp's bare API, one sequence in one context, to hold the server's answers against."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
from numpy.typing import NDArray

Logprobs = NDArray[np.float64]


class BareModel:
    """A GGUF under llama-cpp-python's own class."""

    def __init__(self, path: Path) -> None:
        self._llama = llama_cpp.Llama(
            str(path),
            n_ctx=768,
            n_batch=512,
            logits_all=True,
            flash_attn=True,
            n_threads_batch=1,
            verbose=False,
        )

    def close(self) -> None:
        """Give it back."""
        self._llama.close()

    def tokenize(self, text: str, *, bos: bool = True) -> list[int]:
        """Token ids, special tokens read as such."""
        return list(self._llama.tokenize(text.encode(), add_bos=bos, special=True))

    def logprobs(self, token_ids: list[int], begin: int) -> Iterator[Logprobs]:
        """The logarithms of tokens' probabilities at each place from `begin` on; rows are large."""
        self._llama.reset()
        self._llama.eval(token_ids)
        for row in self._llama.scores[begin - 1 : len(token_ids) - 1]:
            shifted = np.asarray(row, dtype=np.float64) - row.max()
            yield shifted - np.log(np.exp(shifted).sum())


@contextlib.contextmanager
def bare_model(path: Path) -> Iterator[BareModel]:
    """Load a model for a while."""
    model = BareModel(path)
    try:
        yield model
    finally:
        model.close()
