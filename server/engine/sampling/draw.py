"""The last stage: one token out of the candidates, by plain chance, mirostat, or adaptive-p."""

import math
import random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.engine.sampling.candidates import Candidates

_MIROSTAT_M = 100
# Beyond any vocabulary.
_LOG_MANY = 30.0

# The shape of adaptive-p, constants of llama.cpp's sampler.
_WIDTH = 0.3
_PEAK = 5.0
_SHARPNESS = 10.0


class Draw(Protocol):
    """Takes one token; may remember what it took."""

    def __call__(self, candidates: Candidates, rng: random.Random) -> int: ...


def pick(probabilities: NDArray[np.float64], rng: random.Random) -> int:
    """A place, each with its probability; the probabilities need not add up to exactly one."""
    reached = np.cumsum(probabilities)
    place = int(np.searchsorted(reached, rng.random() * reached[-1], side="right"))
    return min(place, len(probabilities) - 1)


def plain(candidates: Candidates, rng: random.Random) -> int:
    """By the softmax of the candidates."""
    if candidates.size == 1:
        return int(candidates.ids[0])
    return int(candidates.ids[pick(candidates.probabilities(), rng)])


class Mirostat:
    """Mirostat 1 (Basu et al. 2020): keeps the surprise near `tau` bits by an estimated Zipf exponent.

    `mu`, the limit on surprise in bits, starts at 2 tau and moves by `eta` times the error of each draw.
    """

    def __init__(self, tau: float, eta: float, vocab_size: int) -> None:
        self._tau = tau
        self._eta = eta
        self._vocab_size = vocab_size
        self.mu = 2 * tau

    def __call__(self, candidates: Candidates, rng: random.Random) -> int:
        """Draw and learn."""
        ordered = candidates.sorted()
        kept = ordered.top(self._top_k(ordered))
        return _draw_and_learn(self, kept, rng)

    def learn(self, surprise: float) -> None:
        """Move mu by the error of a draw, in bits."""
        self.mu -= self._eta * (surprise - self._tau)

    def _top_k(self, ordered: Candidates) -> int:
        logits = ordered.logits[:_MIROSTAT_M].astype(np.float64)
        ranks = np.arange(1, len(logits))
        steps = np.log((ranks + 1) / ranks)
        falls = logits[:-1] - logits[1:]
        if len(falls) == 0:
            return 1
        exponent = float(np.dot(steps, falls) / np.dot(steps, steps))
        if exponent <= 0:
            return ordered.size
        # In logarithms, because on dull text mu grows until its power of two is no float any more.
        log_k = (self.mu * math.log(2) - math.log(_zipf_sum(exponent, self._vocab_size))) / exponent
        return int(min(math.exp(min(max(log_k, 0.0), _LOG_MANY)), ordered.size))


class MirostatV2:
    """Mirostat 2: leaves out what would surprise by more than `mu` bits, and steers mu towards `tau`."""

    def __init__(self, tau: float, eta: float) -> None:
        self._tau = tau
        self._eta = eta
        self.mu = 2 * tau

    def __call__(self, candidates: Candidates, rng: random.Random) -> int:
        """Draw and learn."""
        with np.errstate(divide="ignore"):
            surprise = -np.log2(candidates.probabilities())
        keep = surprise <= self.mu
        kept = candidates.take(keep, is_sorted=candidates.is_sorted) if keep.any() else candidates.top(1)
        return _draw_and_learn(self, kept, rng)

    def learn(self, surprise: float) -> None:
        """Move mu by the error of a draw, in bits."""
        self.mu -= self._eta * (surprise - self._tau)


class AdaptiveP:
    """Prefers tokens whose probability is near a target that moves against the running mean of past draws.

    As `llama_sampler_init_adaptive_p`: `target` 0 to 1, `decay` 0 to 0.99 weighs the past.
    """

    def __init__(self, target: float, decay: float) -> None:
        self._target = target
        self._decay = decay
        self._sum = target / (1 - decay)
        self._weight = 1 / (1 - decay)

    def __call__(self, candidates: Candidates, rng: random.Random) -> int:
        """Draw and remember how likely the drawn token was."""
        probabilities = candidates.probabilities()
        goal = min(max(2 * self._target - self._sum / self._weight, 0.0), 1.0)
        distance = np.abs(probabilities - goal) / _WIDTH
        logits = _PEAK - _SHARPNESS * distance * distance / (1 + distance)
        place = pick(np.exp(logits - logits.max()), rng)
        self._sum = float(probabilities[place]) + self._decay * self._sum
        self._weight = 1 + self._decay * self._weight
        return int(candidates.ids[place])


def _zipf_sum(exponent: float, vocab_size: int) -> float:
    """(1 - n ^ -e) / e with e = exponent - 1: the integral that stands for the sum over ranks."""
    epsilon = exponent - 1
    if abs(epsilon) < 1e-9:
        return math.log(vocab_size)
    return (1 - math.exp(-epsilon * math.log(vocab_size))) / epsilon


def _draw_and_learn(mirostat: Mirostat | MirostatV2, kept: Candidates, rng: random.Random) -> int:
    probabilities = kept.probabilities()
    place = pick(probabilities, rng)
    mirostat.learn(float(-np.log2(probabilities[place])))
    return int(kept.ids[place])
