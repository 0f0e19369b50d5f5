"""llama.cpp's own sampler chain over a row of logits, called without Python in its loops."""

import ctypes
from collections.abc import Iterable

import llama_cpp
import numpy as np
from caravan.engine.params import SamplingParams
from numpy.typing import NDArray

_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class NativeChain:
    """The chain that llama.cpp's server makes of the same parameters, samplers without effect left out."""

    def __init__(self, params: SamplingParams, prompt: Iterable[int], vocab_size: int) -> None:
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for sampler in _samplers(params, vocab_size):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        for token_id in prompt:
            llama_cpp.llama_sampler_accept(self._chain, token_id)
        self._rows = np.zeros(vocab_size, _TOKEN_DATA)
        self._ids = np.arange(vocab_size, dtype=np.int32)
        self._apply = llama_cpp.llama_sampler_apply

    def sample(self, logits: NDArray[np.float32]) -> int:
        """Fill llama.cpp's table, as it does itself for every token, and run the chain."""
        self._rows["id"] = self._ids
        self._rows["logit"] = logits
        data = ctypes.cast(self._rows.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data))
        array = llama_cpp.llama_token_data_array(data, len(logits), -1, False)
        self._apply(self._chain, ctypes.byref(array))
        token_id = int(array.data[array.selected].id)
        llama_cpp.llama_sampler_accept(self._chain, token_id)
        return token_id

    def close(self) -> None:
        """Free the chain and the samplers in it."""
        llama_cpp.llama_sampler_free(self._chain)


def _samplers(params: SamplingParams, vocab_size: int) -> Iterable[object]:
    if any((params.repeat_penalty - 1, params.presence_penalty, params.frequency_penalty)):
        yield llama_cpp.llama_sampler_init_penalties(
            vocab_size,
            params.repeat_last_n,
            params.repeat_penalty,
            params.frequency_penalty,
            params.presence_penalty,
        )
    if params.temperature == 0:
        yield llama_cpp.llama_sampler_init_greedy()
        return
    if not params.mirostat:
        yield from _truncation(params)
    yield llama_cpp.llama_sampler_init_temp_ext(
        params.temperature, params.dynatemp_range, params.dynatemp_exponent
    )
    yield _draw(params, vocab_size)


def _truncation(params: SamplingParams) -> Iterable[object]:
    keep = params.min_keep
    if params.top_n_sigma > 0:
        yield llama_cpp.llama_sampler_init_top_n_sigma(params.top_n_sigma)
    if params.top_k > 0:
        yield llama_cpp.llama_sampler_init_top_k(params.top_k)
    if params.typical_p < 1:
        yield llama_cpp.llama_sampler_init_typical(params.typical_p, keep)
    if params.top_p < 1:
        yield llama_cpp.llama_sampler_init_top_p(params.top_p, keep)
    if params.min_p > 0:
        yield llama_cpp.llama_sampler_init_min_p(params.min_p, keep)
    if params.xtc_probability > 0:
        yield llama_cpp.llama_sampler_init_xtc(params.xtc_probability, params.xtc_threshold, keep, 1)


def _draw(params: SamplingParams, vocab_size: int) -> object:
    if params.mirostat == 1:
        return llama_cpp.llama_sampler_init_mirostat(
            vocab_size, 1, params.mirostat_tau, params.mirostat_eta, 100
        )
    if params.mirostat == 2:
        return llama_cpp.llama_sampler_init_mirostat_v2(1, params.mirostat_tau, params.mirostat_eta)
    if params.adaptive_target >= 0:
        return llama_cpp.llama_sampler_init_adaptive_p(params.adaptive_target, params.adaptive_decay, 1)
    return llama_cpp.llama_sampler_init_dist(1)
