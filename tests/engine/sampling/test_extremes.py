"""Values at the ends of their ranges: no infinity, no overflow, no ban by accident."""

import random
from functools import partial

import numpy as np
import pytest
from caravan.engine.sampling import stages
from caravan.engine.sampling.draws import Cut, Mirostat, cut_by_rank, cut_by_surprise
from caravan.engine.sampling.logits_processors import Dry

from tests.engine.sampling.oracle import candidates, row


@pytest.mark.parametrize("value", [1e-300, 1e-45, 1e-13, 1e-9])
def test_a_tiny_temperature_is_greedy(value: float) -> None:
    logits = row(3, 100, 12.0)
    scaled = stages.scale(candidates(logits), value)
    assert np.isfinite(scaled.logits).all()
    assert scaled.ids[scaled.probabilities().argmax()] == logits.argmax()


@pytest.mark.parametrize("cut", [partial(cut_by_rank, vocab_size=1000), cut_by_surprise])
@pytest.mark.parametrize("mu", [-1e6, 0, 2000.0, 1e9])
def test_mirostat_lives_with_any_mu(mu: float, cut: Cut) -> None:
    """On dull text mu grows for as long as the text goes on."""
    draw = Mirostat(5.0, 0.1, cut)
    draw.mu = mu
    assert 0 <= draw(candidates(row(1, 1000)), random.Random(1)) < 1000


def test_dry_bans_nothing() -> None:
    dry = Dry(multiplier=100, base=100, allowed_length=0, window=-1, breakers={})
    dry.accept([1] * 500)
    logits = row(1, 3)
    dry.apply(logits)
    assert np.isfinite(logits).all()
    assert logits[1] < -1e10
