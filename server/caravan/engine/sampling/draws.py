"""The last stage: one token out of the candidates, by plain chance, mirostat, or adaptive-p."""

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Candidates, Floats
from caravan.llama.rows import BLOCK

_BIT = math.log(2)
_MIROSTAT_M = 100
# Beyond any vocabulary.
_LOG_MANY = 30.0

# The shape of adaptive-p, constants of llama.cpp's sampler.
_WIDTH = 0.3
_SHARPNESS = 10.0


Cut = Callable[[Candidates, float], Candidates]


class Draw(Protocol):
    """Takes one token; may remember what it took."""

    def __call__(self, candidates: Candidates, rng: random.Random) -> int: ...


def draw_stage(params: SamplingParams, vocab_size: int) -> Draw:
    """Make what takes the token."""
    if params.mirostat == 1:
        by_rank = partial(cut_by_rank, vocab_size=vocab_size)
        return Mirostat(params.mirostat_tau, params.mirostat_eta, by_rank)
    if params.mirostat == 2:
        return Mirostat(params.mirostat_tau, params.mirostat_eta, cut_by_surprise)
    if params.adaptive_target >= 0:
        return AdaptiveP(params.adaptive_target, params.adaptive_decay)
    return plain


def choices(draw: Draw, candidates: Candidates) -> Candidates:
    """Tell by which softmax a draw takes its next token of these candidates; nothing is drawn."""
    return draw.choices(candidates) if isinstance(draw, Mirostat | AdaptiveP) else candidates


def follow(draw: Draw, candidates: Candidates, token_id: int, rng: random.Random) -> None:
    """Have chance and the draw's state go on as if a draw from these candidates had taken a token.

    One that is not among them, and could not have been taken, teaches the draw nothing.
    """
    if isinstance(draw, Mirostat | AdaptiveP):
        rng.random()
        draw.learn(candidates, token_id)
    elif candidates.size > 1:
        rng.random()


def pick(weights: NDArray[np.floating], rng: random.Random) -> int:
    """Pick a place, each with a chance by its weight: where the running sum passes a random share.

    A long row is searched in two levels, its blocks and then one block, which saves adding it all up.
    """
    share = rng.random()
    if len(weights) <= 2 * BLOCK:
        return _passed(weights.cumsum(dtype=np.float64), share)[0]
    block, share = _passed(reached_by_blocks(weights), share)
    start = block * BLOCK
    place, _ = _passed(weights[start : start + BLOCK].cumsum(dtype=np.float64), share)
    return start + place


def reached_by_blocks(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Running sums of the weights of a row, block after block."""
    num_blocks = len(weights) // BLOCK
    masses = weights[: num_blocks * BLOCK].reshape(num_blocks, BLOCK).sum(axis=1)
    tail = weights[num_blocks * BLOCK :].sum()
    return np.append(masses, tail).cumsum(dtype=np.float64)


def _passed(reached: NDArray[np.float64], share: float) -> tuple[int, float]:
    """Where a share (0 to 1) of the last running sum is passed, and the share of that very step below it."""
    goal = min(share * float(reached[-1]), math.nextafter(float(reached[-1]), 0))
    place = int(reached.searchsorted(goal, side="right"))
    before = float(reached[place - 1]) if place else 0.0
    return place, (goal - before) / (float(reached[place]) - before)


def plain(candidates: Candidates, rng: random.Random) -> int:
    """Draw by the softmax of the candidates."""
    if candidates.size == 1:
        return int(candidates.ids[0])
    return int(candidates.ids[pick(candidates.weights(), rng)])


class Mirostat:
    """Keeps the surprise of draws near `tau` bits (Basu et al. 2020).

    `mu`, the limit on surprise in bits, starts at 2 tau and moves by `eta` times the error of each draw.
    `cut` leaves out of the candidates what would surprise by more.
    """

    def __init__(self, tau: float, eta: float, cut: Cut) -> None:
        self._tau = tau
        self._eta = eta
        self._cut = cut
        self.mu = 2 * tau

    def __call__(self, candidates: Candidates, rng: random.Random) -> int:
        """Draw and learn."""
        kept = self.choices(candidates)
        probabilities = kept.probabilities()
        place = pick(probabilities, rng)
        self._learn(probabilities[place])
        return int(kept.ids[place])

    def learn(self, candidates: Candidates, token_id: int) -> None:
        """Learn from a token that was taken otherwise."""
        kept = self.choices(candidates)
        if (place := kept.place_of(token_id)) is not None:
            self._learn(kept.probabilities()[place])

    def _learn(self, probability: np.floating) -> None:
        self.mu -= self._eta * (float(-np.log2(probability)) - self._tau)

    def choices(self, candidates: Candidates) -> Candidates:
        """Keep those that the next draw may take."""
        return self._cut(candidates, self.mu)


def cut_by_rank(candidates: Candidates, mu: float, vocab_size: int) -> Candidates:
    """Mirostat 1: keep the likeliest, as many as an estimated Zipf exponent says."""
    if candidates.size == 1:
        return candidates
    rising = np.sort(candidates.top(_MIROSTAT_M).logits).astype(np.float64)
    ranks = np.arange(1, len(rising))
    steps = np.log((ranks + 1) / ranks)
    falls = np.diff(rising)[::-1]
    exponent = float(np.dot(steps, falls) / np.dot(steps, steps))
    if exponent <= 0:
        return candidates
    # In logarithms, because on dull text mu grows until its power of two is no float any more.
    log_k = (mu * _BIT - math.log(_zipf_sum(exponent, vocab_size))) / exponent
    return candidates.top(int(min(math.exp(min(max(log_k, 0.0), _LOG_MANY)), candidates.size)))


def cut_by_surprise(candidates: Candidates, mu: float) -> Candidates:
    """Mirostat 2: keep what would surprise by no more than `mu` bits, and the likeliest in any case."""
    total = candidates.weights().sum(dtype=np.float64)
    least = np.log(total) - mu * _BIT
    keep = candidates.logits - candidates.logits.max() >= np.float32(least)
    return candidates.where(keep) if keep.any() else candidates.top(1)


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
        probabilities = _shares(candidates)
        place = pick(np.exp(self._logits(probabilities)), rng)
        self._learn(probabilities[place])
        return int(candidates.ids[place])

    def learn(self, candidates: Candidates, token_id: int) -> None:
        """Learn from a token that was taken otherwise."""
        if (place := candidates.place_of(token_id)) is not None:
            self._learn(_shares(candidates)[place])

    def _learn(self, probability: np.floating) -> None:
        self._sum = float(probability) + self._decay * self._sum
        self._weight = 1 + self._decay * self._weight

    def choices(self, candidates: Candidates) -> Candidates:
        """Weigh the candidates as the next draw does."""
        return Candidates(candidates.ids, self._logits(_shares(candidates)))

    def _logits(self, probabilities: Floats) -> Floats:
        """Make logits that are the higher, the nearer a probability is to where the target is now."""
        goal = min(max(2 * self._target - self._sum / self._weight, 0.0), 1.0)
        distance = np.abs(probabilities - np.float32(goal)) / np.float32(_WIDTH)
        logits: Floats = -_SHARPNESS * distance * distance / (1 + distance)
        return logits


def _shares(candidates: Candidates) -> Floats:
    shares = candidates.weights()
    shares /= shares.sum(dtype=np.float64)
    return shares


def _zipf_sum(exponent: float, vocab_size: int) -> float:
    """(1 - n ^ -e) / e with e = exponent - 1: the integral that stands for the sum over ranks."""
    epsilon = exponent - 1
    if abs(epsilon) < 1e-9:
        return math.log(vocab_size)
    return (1 - math.exp(-epsilon * math.log(vocab_size))) / epsilon
