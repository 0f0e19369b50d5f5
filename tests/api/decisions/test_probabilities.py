"""Shares of labels by each way of making them comparable."""

import math

import pytest
from caravan.api.decisions.probabilities import LabelScore, shares

SCORES = [LabelScore(math.log(0.2), 2), LabelScore(math.log(0.05), 4)]


def test_shares_are_of_the_labels_alone() -> None:
    found = shares(SCORES, "none", None)
    assert found.probabilities == pytest.approx([0.8, 0.2])
    assert found.mass == pytest.approx(0.25)


def test_by_length_the_mean_token_counts() -> None:
    one, other = 0.2 ** (1 / 2), 0.05 ** (1 / 4)
    found = shares(SCORES, "length", None)
    assert found.probabilities == pytest.approx([one / (one + other), other / (one + other)])
    assert found.mass == pytest.approx(0.25)


def test_by_the_prior_what_the_input_adds_counts() -> None:
    found = shares(SCORES, "prior", [LabelScore(math.log(0.4), 2), LabelScore(math.log(0.05), 4)])
    assert found.probabilities == pytest.approx([1 / 3, 2 / 3])
    assert found.mass == pytest.approx(0.25)


def test_labels_beyond_all_likelihood_have_shares() -> None:
    found = shares([LabelScore(-5000.0, 2), LabelScore(-5001.0, 2)], "none", None)
    assert found.probabilities == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])
    assert found.mass == 0
