"""Means, intervals and fronts, against what tables and definitions say."""

import statistics

import numpy as np
import pytest
from caravan.tune.numbers import Estimate, gain, noise, overlap, spread


def test_an_interval_is_that_of_the_tables() -> None:
    """Of 1 to 5: the mean 3, the standard error 0.7071, Student's t for four degrees 2.776."""
    estimate = spread([[1.0], [2.0], [3.0], [4.0], [5.0]])
    assert estimate.mean == 3
    assert estimate.half == pytest.approx(2.776 * 0.70711, rel=1e-3)


def test_repeats_tell_the_noise_of_these_very_prompts() -> None:
    """Prompts that differ by themselves add nothing; one degree of freedom each."""
    estimate = noise([[0.0, 2.0], [100.0, 102.0]])
    assert estimate.mean == 51
    assert estimate.half == pytest.approx(4.303 * (2 * 2 / 2 / 4) ** 0.5, rel=1e-3)
    assert noise([[5.0, 5.0], [7.0, 7.0]]).half == 0
    assert noise([[5.0]]).half is None
    assert str(noise([[5.0]])) == "5"


def test_what_is_compared_prompt_by_prompt_is_surer() -> None:
    mine, theirs = [[1.1], [5.1], [9.2]], [[1.0], [5.0], [9.0]]
    found = gain(mine, theirs)
    assert found.mean == pytest.approx(0.1333, abs=1e-3)
    assert found.half is not None
    assert found.half < 0.2
    assert overlap(spread(mine), spread(theirs))
    assert not overlap(Estimate(1, 0.1, 2), Estimate(2, 0.1, 2))


@pytest.mark.parametrize(("num_prompts", "repeats"), [(4, 3), (20, 4), (40, 1)])
def test_intervals_hold_the_truth_19_times_of_20(num_prompts: int, repeats: int) -> None:
    """Within what 2000 experiments scatter."""
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        scores = generator.normal(10, 2, (num_prompts, repeats)).tolist()
        estimate = noise(scores) if repeats > 1 else spread(scores)
        held += estimate.low <= 10 <= estimate.high
    assert held / 2000 == pytest.approx(0.95, abs=0.015)
    assert statistics.fmean(map(statistics.fmean, scores)) == pytest.approx(estimate.mean)
