"""A chain of llama.cpp's samplers, applied to logits that NumPy holds."""

import contextlib
import ctypes
from collections.abc import Callable

import llama_cpp
import numpy as np
from numpy.typing import NDArray

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class CandidateBuffer:
    """Room for one row of candidates (`llama_token_data`), shared by all chains that one thread applies."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._ids = np.arange(vocab_size, dtype=np.int32)
        self._data = np.zeros(vocab_size, _CANDIDATE)
        self._native = llama_cpp.llama_token_data_array()

    def load(self, logits: NDArray[np.float32]) -> "llama_cpp.llama_token_data_array":
        """Copy a row of logits [vocab_size] into the native array, unsorted, nothing selected."""
        self._data["id"] = self._ids
        self._data["logit"] = logits
        self._native.data = ctypes.cast(self._data.ctypes.data, llama_cpp.llama_token_data_p)
        self._native.size = self.vocab_size
        self._native.selected = -1
        self._native.sorted = False
        return self._native


class SamplerChain:
    """Owns a `llama_sampler_chain`; its last link must select a token. Close it when the sequence ends."""

    def __init__(self) -> None:
        self._pointer = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        self._exit = contextlib.ExitStack()
        self._exit.callback(llama_cpp.llama_sampler_free, self._pointer)

    def top_k(self, k: int) -> None:
        """Keep the k likeliest (`llama_sampler_init_top_k`)."""
        self._add(llama_cpp.llama_sampler_init_top_k, k)

    def top_p(self, p: float) -> None:
        """Keep the smallest set whose probability reaches p (Holtzman et al. 2019)."""
        self._add(llama_cpp.llama_sampler_init_top_p, p, 1)

    def min_p(self, p: float) -> None:
        """Keep what is at least p times as likely as the likeliest (Nguyen et al. 2024)."""
        self._add(llama_cpp.llama_sampler_init_min_p, p, 1)

    def temperature(self, value: float) -> None:
        """Divide the logits (`llama_sampler_init_temp`)."""
        self._add(llama_cpp.llama_sampler_init_temp, value)

    def draw(self, seed: int) -> None:
        """Select by probability, from a generator seeded with these 32 bits (`llama_sampler_init_dist`)."""
        self._add(llama_cpp.llama_sampler_init_dist, seed)

    def sample(self, logits: NDArray[np.float32], buffer: CandidateBuffer) -> int:
        """Draw a token from a row of logits [vocab_size] and let the chain know of it.

        Raises RuntimeError when no candidate could be selected.
        """
        candidates = buffer.load(logits)
        llama_cpp.llama_sampler_apply(self._pointer, ctypes.byref(candidates))
        if not 0 <= candidates.selected < candidates.size:
            raise RuntimeError("the sampler chain selected no token")
        token_id = int(candidates.data[candidates.selected].id)
        llama_cpp.llama_sampler_accept(self._pointer, token_id)
        return token_id

    def close(self) -> None:
        """Free the chain; a second call does nothing."""
        self._exit.close()

    def _add(self, init: Callable[..., int | None], *arguments: float) -> None:
        link = init(*arguments)
        # A null pointer in a chain ends the process at the next apply.
        if not link:
            raise ValueError(f"llama.cpp refused a sampler with {arguments}")
        llama_cpp.llama_sampler_chain_add(self._pointer, link)
