"""The draw follows its definition: which tokens remain, how often each comes, and always the same by seed."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from server.engine.params import SamplingParams
from server.engine.sampler import Sampler
from server.llama.sampler_chain import CandidateBuffer

SIZE = 50
DRAWS = 20_000


def logits() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 2, SIZE).astype(np.float32)


def expected(params: SamplingParams) -> NDArray[np.float64]:
    """The distribution by its definition: filters on the untempered probabilities, in llama.cpp's order."""
    row = logits().astype(np.float64)
    order = np.argsort(-row)
    keep = order[: params.top_k] if params.top_k else order
    probabilities = np.exp(row[keep]) / np.exp(row[keep]).sum()
    keep = keep[: int(np.searchsorted(np.cumsum(probabilities), params.top_p)) + 1]
    keep = keep[np.exp(row[keep] - row[keep[0]]) >= params.min_p]
    weights = np.zeros(SIZE)
    weights[keep] = np.exp((row[keep] - row[keep[0]]) / params.temperature)
    weights /= weights.sum()
    return weights


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0),
        SamplingParams(temperature=0.5, top_k=5, top_p=1.0, min_p=0.0),
        SamplingParams(temperature=1.5, top_k=0, top_p=0.7, min_p=0.0),
        SamplingParams(temperature=2.0, top_k=0, top_p=1.0, min_p=0.1),
        SamplingParams(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05),
    ],
)
def test_draws_have_the_defined_distribution(params: SamplingParams) -> None:
    seeded = SamplingParams(
        temperature=params.temperature, top_k=params.top_k, top_p=params.top_p, min_p=params.min_p, seed=7
    )
    sampler = Sampler(seeded, 0, CandidateBuffer(SIZE))
    row = logits()
    counts = Counter(sampler.sample(row) for _ in range(DRAWS))
    wanted = expected(params)
    got = np.array([counts[i] for i in range(SIZE)]) / DRAWS
    assert set(np.flatnonzero(got)) <= set(np.flatnonzero(wanted))
    # Five standard deviations: a seeded draw either passes always or never.
    assert np.all(np.abs(got - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / DRAWS) + 1e-9)
    sampler.close()


def test_temperature_zero_is_the_argmax() -> None:
    sampler = Sampler(SamplingParams(temperature=0), 0, CandidateBuffer(SIZE))
    assert sampler.is_greedy
    assert sampler.sample(logits()) == int(logits().argmax())


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**63, -1])
def test_a_seed_repeats_and_choices_differ(seed: int) -> None:
    def draws(index: int) -> list[int]:
        params = SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=seed)
        sampler = Sampler(params, index, CandidateBuffer(SIZE))
        return [sampler.sample(logits()) for _ in range(30)]

    assert draws(0) == draws(0)
    assert draws(0) != draws(1)


def test_without_a_seed_no_two_are_alike() -> None:
    params = SamplingParams(temperature=1.5, top_k=0, top_p=1, min_p=0)
    samplers = [Sampler(params, 0, CandidateBuffer(SIZE)) for _ in range(8)]
    runs = {tuple(sampler.sample(logits()) for _ in range(30)) for sampler in samplers}
    assert len(runs) == 8
