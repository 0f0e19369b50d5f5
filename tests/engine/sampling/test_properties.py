"""Samplers on rows that Hypothesis makes up."""

import random
from typing import Any

import numpy as np
import pytest
from caravan.engine.sampling import stages
from caravan.engine.sampling.candidates import Candidates
from caravan.engine.sampling.draws import pick
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import SearchStrategy

from tests.engine.sampling import reference
from tests.engine.sampling.oracle import candidates
from tests.engine.sampling.rows import Logits
from tests.engine.sampling.rows import params as neutral
from tests.engine.sampling.test_reference import decided

# The same examples on every run: a test that fails must fail again.
same_each_time = settings(derandomize=True, deadline=None, database=None, max_examples=150)

_levels = st.sampled_from([-np.inf, -3.0, 0.0, 0.5, 0.5000001, 7.0])
_numbers = st.floats(-80, 80, width=32)
_numbers_and_bans = st.one_of(_numbers, st.just(-np.inf))
_bases: SearchStrategy[Logits] = st.one_of(
    *(
        hnp.arrays(np.float32, st.integers(1, 90), elements=numbers)
        for numbers in (_levels, _numbers, _numbers_and_bans)
    )
)
# Repeated, a short row becomes one that is searched by columns, full of ties.
rows = st.builds(np.tile, _bases, st.sampled_from([1, 1, 1, 2, 70])).filter(
    lambda row: bool(np.isfinite(row).any())
)
shares = st.sampled_from([0.01, 0.25, 0.5, 0.75, 0.9, 0.999])
parameters: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"seed": st.integers(0, 9)},
    optional={
        "temperature": st.sampled_from([0.0, 1e-30, 0.01, 0.7, 2.0]),
        "dynatemp_range": st.sampled_from([0.5, 2.0]),
        "dynatemp_exponent": st.sampled_from([0.3, 3.0]),
        "top_k": st.integers(1, 200),
        "top_p": shares,
        "min_p": shares,
        "typical_p": shares,
        "top_n_sigma": st.sampled_from([0.01, 0.5, 1.0, 3.0]),
        "xtc_probability": st.sampled_from([0.5, 1.0]),
        "xtc_threshold": st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.6]),
        "min_keep": st.integers(0, 300),
        "samplers": st.permutations(["top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc"]).map(
            tuple
        ),
        "repeat_penalty": st.sampled_from([0.5, 1.1, 2.0]),
        "repeat_last_n": st.sampled_from([-1, 1, 5, 64]),
        "presence_penalty": st.sampled_from([-2.0, 0.5]),
        "frequency_penalty": st.sampled_from([-0.1, 1.0]),
        "dry_multiplier": st.just(0.8),
    },
)


@same_each_time
@given(row=rows, changes=parameters)
def test_any_parameters_on_any_row_agree_with_the_definitions(row: Logits, changes: dict[str, Any]) -> None:
    decided(neutral(**changes), row)


def _stages(share: float, count: int, keep: int) -> dict[str, Any]:
    return {
        "top_k": lambda c: stages.top_k(c, count),
        "top_p": lambda c: stages.top_p(c, share, keep),
        "min_p": lambda c: stages.min_p(c, share, keep),
        "typical_p": lambda c: stages.typical_p(c, share, keep),
        "top_n_sigma": lambda c: stages.top_n_sigma(c, share),
        "xtc": lambda c: stages.xtc(c, 1.0, share / 2, random.Random(0), keep),
    }


@pytest.mark.parametrize("name", _stages(0, 0, 0))
@same_each_time
@given(row=rows, share=shares, count=st.integers(1, 300), keep=st.integers(0, 300))
def test_every_stage_keeps_some_in_order_and_changes_nothing(
    name: str, row: Logits, share: float, count: int, keep: int
) -> None:
    before = candidates(row.copy())
    after: Candidates = _stages(share, count, keep)[name](before)
    assert 1 <= after.size <= before.size
    assert after.size >= min(keep, before.size) or name in ("top_k", "top_n_sigma")
    assert (np.diff(after.ids) > 0).all()
    assert np.array_equal(row[after.ids], after.logits)
    assert np.array_equal(before.logits, row[row > -np.inf])
    if name != "xtc" and name != "typical_p":
        assert row.argmax() in after.ids


@same_each_time
@given(row=rows, count=st.integers(1, 5000))
def test_of_equally_likely_tokens_the_lowest_ids_stay(row: Logits, count: int) -> None:
    wanted = reference.by_likelihood(row.astype(np.float64))[:count]
    assert candidates(row).top(count).ids.tolist() == sorted(wanted)


@same_each_time
@given(
    weights=hnp.arrays(np.float32, st.integers(1, 3000), elements=st.sampled_from([0, 0, 1e-30, 0.1, 1])),
    seed=st.integers(0, 2**32),
)
def test_a_draw_passes_its_share_and_never_takes_the_impossible(weights: Logits, seed: int) -> None:
    if not weights.any():
        weights[-1] = 1
    place = pick(weights, random.Random(seed))
    share = random.Random(seed).random() * weights.sum(dtype=np.float64)
    reached = np.cumsum(weights, dtype=np.float64)
    assert weights[place] > 0
    rounding = 1e-6 * reached[-1]
    assert reached[place] >= share - rounding
    assert reached[place] - weights[place] <= share + rounding
