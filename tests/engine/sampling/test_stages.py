"""Every stage against llama.cpp's sampler of the same name, on many distributions."""

import random

import llama_cpp
import numpy as np
import pytest
from caravan.engine.sampling import stages
from caravan.engine.sampling.candidates import Candidates
from caravan.engine.sampling.logits_processors import Dry, RepetitionPenalties

from tests.engine.sampling.oracle import Native, candidates, row, same

SEEDS = range(2)
SPREADS = [0.3, 3.0, 12.0]


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("seed", SEEDS)
class TestTruncation:
    def test_top_k(self, seed: int, spread: float) -> None:
        for size, k in ((1000, 1), (1000, 40), (20_000, 40), (300, 500), (50, 0)):
            logits = row(seed, size, spread)
            ours = stages.top_k(candidates(logits), k)
            assert same(ours, Native(llama_cpp.llama_sampler_init_top_k(k)).apply(logits))

    @pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 1.0])
    @pytest.mark.parametrize("min_keep", [1, 7])
    def test_top_p(self, seed: int, spread: float, p: float, min_keep: int) -> None:
        logits = row(seed, 3000, spread)
        ours = stages.top_p(candidates(logits), p, min_keep)
        order = np.argsort(-logits)
        exact = np.exp(logits[order].astype(np.float64) - logits.max())
        count = int(np.searchsorted(np.cumsum(exact) / exact.sum(), p)) + 1
        assert p >= 1 or abs(ours.size - max(count, min_keep)) <= 1
        assert set(ours.ids.tolist()) == set(order[: ours.size].tolist())
        # llama.cpp adds up in 32 bits, which moves the end of a long sum a little.
        theirs = Native(llama_cpp.llama_sampler_init_top_p(p, min_keep)).apply(logits)
        assert abs(ours.size - len(theirs)) <= ours.size // 200

    @pytest.mark.parametrize("p", [0.0, 0.01, 0.05, 0.3, 1.0])
    @pytest.mark.parametrize("min_keep", [1, 7])
    def test_min_p(self, seed: int, spread: float, p: float, min_keep: int) -> None:
        logits = row(seed, 1000, spread)
        ours = stages.min_p(candidates(logits), p, min_keep)
        assert same(ours, Native(llama_cpp.llama_sampler_init_min_p(p, min_keep)).apply(logits))

    @pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.95, 1.0])
    @pytest.mark.parametrize("min_keep", [1, 7])
    def test_typical_p(self, seed: int, spread: float, p: float, min_keep: int) -> None:
        logits = row(seed, 1000, spread)
        ours = stages.typical_p(candidates(logits), p, min_keep)
        assert same(ours, Native(llama_cpp.llama_sampler_init_typical(p, min_keep)).apply(logits))

    @pytest.mark.parametrize("n", [-1.0, 0.5, 1.0, 2.0, 5.0])
    def test_top_n_sigma(self, seed: int, spread: float, n: float) -> None:
        logits = row(seed, 1000, spread)
        ours = stages.top_n_sigma(candidates(logits), n)
        assert same(ours, Native(llama_cpp.llama_sampler_init_top_n_sigma(n)).apply(logits))

    @pytest.mark.parametrize("threshold", [0.0005, 0.01, 0.1, 0.5, 0.6])
    @pytest.mark.parametrize("min_keep", [1, 995])
    def test_xtc(self, seed: int, spread: float, threshold: float, min_keep: int) -> None:
        logits = row(seed, 1000, spread)
        ours = stages.xtc(candidates(logits), 1.0, threshold, random.Random(0), min_keep)
        native = Native(llama_cpp.llama_sampler_init_xtc(1.0, threshold, min_keep, 1))
        assert same(ours, native.apply(logits))

    @pytest.mark.parametrize("value", [0.0, 0.1, 0.8, 1.0, 2.0])
    @pytest.mark.parametrize("change", [0.0, 0.4, 1.5])
    @pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
    def test_temperature(
        self, seed: int, spread: float, value: float, change: float, exponent: float
    ) -> None:
        logits = row(seed, 400, spread)
        every = candidates(logits)
        ours = stages.scale(every, stages.dynamic_temperature(every, value, change, exponent))
        theirs = Native(llama_cpp.llama_sampler_init_temp_ext(value, change, exponent)).apply(logits)
        # Ours are relative to the highest, so what a softmax makes of them is compared.
        tempered = Candidates(np.array(list(theirs), np.int32), np.array(list(theirs.values()), np.float32))
        mine, other = np.zeros(400), np.zeros(400)
        mine[ours.ids] = ours.probabilities()
        other[tempered.ids] = tempered.probabilities()
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [0, 5, 64, 1000])
@pytest.mark.parametrize(
    ("repeat", "frequency", "presence"),
    [(1.3, 0.0, 0.0), (1.0, 0.7, 0.0), (1.0, 0.0, -1.5), (0.8, -0.4, 1.1)],
)
def test_penalties(seed: int, window: int, repeat: float, frequency: float, presence: float) -> None:
    text = np.random.default_rng(seed).integers(0, 60, 200).tolist()
    logits = row(seed, 100)
    penalties = RepetitionPenalties(repeat=repeat, presence=presence, frequency=frequency, window=window)
    native = Native(llama_cpp.llama_sampler_init_penalties(100, window, repeat, frequency, presence))
    for start in range(0, 200, 20):
        penalties.accept(text[start : start + 20])
        native.accept(text[start : start + 20])
        ours = logits.copy()
        penalties.apply(ours)
        assert same(candidates(ours), native.apply(logits))


def test_a_window_of_minus_one_is_the_whole_text() -> None:
    whole = RepetitionPenalties(repeat=1.5, presence=0, frequency=0, window=-1)
    long = RepetitionPenalties(repeat=1.5, presence=0, frequency=0, window=10_000)
    first, second = row(1, 100), row(1, 100)
    for penalties, logits in ((whole, first), (long, second)):
        penalties.accept([i % 70 for i in range(5000)])
        penalties.apply(logits)
    assert np.array_equal(first, second)


def dry_by_definition(
    text: list[int], logits: np.ndarray, breakers: set[int], allowed: int, base: float, multiplier: float
) -> np.ndarray:
    """For each token, the longest end of the text that it followed earlier, found by comparing everything."""
    changed = logits.copy()
    for token in range(len(logits)):
        longest = 0
        for place in (i for i, other in enumerate(text) if other == token):
            length = 0
            while length < place and text[place - 1 - length] == text[-1 - length]:
                if text[-1 - length] in breakers:
                    break
                length += 1
            longest = max(longest, length)
        if longest >= max(allowed, 1) and token not in breakers:
            changed[token] -= multiplier * base ** (longest - allowed)
    return changed


@pytest.mark.parametrize("seed", range(40))
def test_dry(seed: int) -> None:
    rng = random.Random(seed)
    text = [rng.randrange(3 + seed % 4) for _ in range(rng.randrange(1, 60))]
    logits = row(seed, 8)
    breakers = {7, 6} if seed % 2 else {1}
    allowed = rng.randrange(1, 4)
    dry = Dry(
        multiplier=0.8, base=1.75, allowed_length=allowed, window=-1, breakers=dict.fromkeys(breakers, ((),))
    )
    dry.accept(text)
    ours = logits.copy()
    dry.apply(ours)
    np.testing.assert_allclose(ours, dry_by_definition(text, logits, breakers, allowed, 1.75, 0.8), rtol=1e-5)
