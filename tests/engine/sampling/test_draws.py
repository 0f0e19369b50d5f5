"""Whole texts of draws: token for token those of the reference, and mirostat's surprise near its target."""

from typing import Any

import numpy as np
import pytest
from caravan.engine.sampling.sampler import Sampler, TokenSpace

from tests.engine.sampling.reference_chain import ReferenceChain
from tests.engine.sampling.rows import Logits, params

SIZE = 300


def model(generator: np.random.Generator) -> Logits:
    """Logits with a Zipf-like tail, whose entropy changes from token to token: about 5 to 7 bits."""
    ranks = generator.permutation(SIZE) + 1
    row = -generator.uniform(0.7, 1.2) * np.log(ranks) + generator.normal(0, 0.3, SIZE)
    return np.asarray(row, np.float32)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
        {"typical_p": 0.6, "dynatemp_range": 0.6},
        {"xtc_probability": 0.5, "xtc_threshold": 0.03, "top_n_sigma": 1.5},
        {"repeat_penalty": 1.4, "presence_penalty": 0.3, "frequency_penalty": 0.2, "repeat_last_n": 30},
        {"dry_multiplier": 1.5, "dry_allowed_length": 1, "dry_breakers": ((3,), (7, 8)), "top_k": 4},
        {"logit_bias": ((1, 4.0), (2, -np.inf)), "bad_words": ((1, 1), (1, 5, 1))},
        {"min_tokens": 30, "stop_token_ids": (1, 2, 3), "ignore_eos": True},
        {"adaptive_target": 0.05, "adaptive_decay": 0.9, "min_p": 0.01},
        {"adaptive_target": 0.4, "adaptive_decay": 0.0},
        {"mirostat": 1, "mirostat_tau": 4.0},
        {"mirostat": 2, "mirostat_tau": 4.0, "repeat_penalty": 1.2},
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.5, "top_k": 100, "temperature": 1.2},
    ],
    ids=str,
)
@pytest.mark.parametrize("index", [0, 3])
def test_a_text_is_the_references_token_for_token(changes: dict[str, Any], index: int) -> None:
    settings = params(**changes)
    sampler = Sampler(settings, [1, 2, 3], index, TokenSpace(SIZE, {SIZE - 1}))
    chain = ReferenceChain(settings, [1, 2, 3], {SIZE - 1}, index)
    generator = np.random.default_rng(index)
    for _ in range(150):
        row = model(generator)
        assert sampler.sample(row.copy()) == chain.draw(row)
    if settings.mirostat:
        assert sampler.mirostat_mu == pytest.approx(chain.mu, abs=1e-4)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [2.0, 3.5, 5.0])
def test_mirostat_keeps_the_mean_surprise_at_tau(version: int, tau: float) -> None:
    """2,000 tokens; the surprise of each is measured by the reference, which draws the same ones."""
    settings = params(mirostat=version, mirostat_tau=tau, mirostat_eta=0.1)
    sampler = Sampler(settings, [], 0, TokenSpace(SIZE, ()))
    chain = ReferenceChain(settings, [], set())
    generator = np.random.default_rng(5)
    for _ in range(2000):
        row = model(generator)
        assert sampler.sample(row.copy()) == chain.draw(row)
    assert np.mean(chain.surprises) == pytest.approx(tau, rel=0.05)
