"""The draw of one sequence: its own chain and its own randomness, so that neighbours never matter."""

import secrets

import numpy as np
from numpy.typing import NDArray

from server.engine.params import SamplingParams
from server.llama.sampler_chain import CandidateBuffer, SamplerChain

# llama.cpp takes this value to mean "seed from the clock" (LLAMA_DEFAULT_SEED).
_UNSEEDED = 0xFFFFFFFF


class Sampler:
    """Draws tokens for one sequence. Greedy sequences own no chain: the engine takes their argmax in bulk."""

    def __init__(self, params: SamplingParams, index: int, buffer: CandidateBuffer) -> None:
        self.is_greedy = params.temperature == 0
        self._buffer = buffer
        self._chain = None if self.is_greedy else _make_chain(params, _draw_seed(params.seed, index))

    def sample(self, logits: NDArray[np.float32]) -> int:
        """Draw from a row of logits, float32 [vocab_size]."""
        if self._chain is None:
            return int(logits.argmax())
        return self._chain.sample(logits, self._buffer)

    def close(self) -> None:
        """Free the native chain."""
        if self._chain is not None:
            self._chain.close()


def _make_chain(params: SamplingParams, seed: int) -> SamplerChain:
    """llama.cpp's own order: filters on the untempered distribution, then temperature, then the draw."""
    chain = SamplerChain()
    if params.top_k > 0:
        chain.top_k(params.top_k)
    if params.top_p < 1:
        chain.top_p(params.top_p)
    if params.min_p > 0:
        chain.min_p(params.min_p)
    chain.temperature(params.temperature)
    chain.draw(seed)
    return chain


def _draw_seed(seed: int | None, index: int) -> int:
    """32 bits for choice `index`. Seeds of 32 bits stand for themselves, wider ones are mixed down."""
    if seed is None:
        return secrets.randbelow(_UNSEEDED)
    low, high = (seed + index) & 0xFFFFFFFF, ((seed + index) >> 32) & 0xFFFFFFFF
    return (low ^ (high * 0x9E3779B9 & 0xFFFFFFFF)) % _UNSEEDED
