"""Every parameter, alone and with every other, against the mathematics: who survives, and how likely."""

from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace

from tests.engine.sampling.reference_chain import ReferenceChain
from tests.engine.sampling.rows import Logits, adversarial_rows, params, resident_rows

TEXT = [5, 6, 7, 8, 5, 6, 9, 11, 5, 6, 7, 8, 5, 6]

# For each parameter, settings that it is tried at. What only serves another comes with it.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "temperature": [{"temperature": t} for t in (0.0, 0.3, 1.7)],
    "dynatemp": [
        {"dynatemp_range": 0.3, "dynatemp_exponent": 0.5},
        {"dynatemp_range": 1.5, "dynatemp_exponent": 2.0},
    ],
    "top_k": [{"top_k": k} for k in (1, 2, 40, 5000)],
    "top_p": [{"top_p": p} for p in (0.03, 0.5, 0.9, 0.999)],
    "min_p": [{"min_p": p} for p in (0.001, 0.05, 0.4, 1.0)],
    "typical_p": [{"typical_p": p} for p in (0.03, 0.5, 0.95)],
    "top_n_sigma": [{"top_n_sigma": n} for n in (0.4, 1.0, 2.5)],
    "xtc": [{"xtc_probability": 1.0, "xtc_threshold": t} for t in (0.002, 0.1, 0.4)],
    "xtc by chance": [{"xtc_probability": 0.5, "xtc_threshold": 0.05, "seed": s} for s in (1, 2)],
    "min_keep": [{"min_keep": 3}, {"min_keep": 300}],
    "samplers": [
        {"samplers": ("min_p", "top_p", "top_k", "xtc")},
        {"samplers": ("xtc", "typical_p", "top_n_sigma", "top_p")},
    ],
    "repeat_penalty": [{"repeat_penalty": 1.3}, {"repeat_penalty": 0.8, "repeat_last_n": 4}],
    "presence_penalty": [{"presence_penalty": 1.5, "repeat_last_n": -1}],
    "frequency_penalty": [{"frequency_penalty": 0.7}, {"frequency_penalty": -0.4, "repeat_last_n": 3}],
    "dry": [
        {"dry_multiplier": 0.8},
        {"dry_multiplier": 2.0, "dry_base": 1.2, "dry_allowed_length": 1, "dry_breakers": ((9,), (5, 6, 9))},
        {"dry_multiplier": 0.5, "dry_penalty_last_n": 7, "dry_breakers": ((7, 8),)},
    ],
    "logit_bias": [{"logit_bias": ((5, 3.0), (0, -np.inf), (9, -1.5))}],
    "allowed_token_ids": [{"allowed_token_ids": (0, 1, 5, 6, 7, 9, 50, 137)}],
    "bad_words": [{"bad_words": ((5,), (5, 6, 7), (6, 8))}],
    "ignore_eos": [{"ignore_eos": True}],
    "min_tokens": [{"min_tokens": 2, "stop_token_ids": (0, 3)}],
}


@cache
def every_row() -> tuple[Logits, ...]:
    return (*resident_rows(), *adversarial_rows().values())


def decided(settings: SamplingParams, row: Logits) -> bool:
    """Compare; False where the reference itself could go either way by rounding of 32 bits."""
    size, prompt = len(row), [token for token in TEXT if token < len(row)]
    sampler = Sampler(settings, prompt, 0, TokenSpace(size, {size - 1}))
    chain = ReferenceChain(settings, prompt, {size - 1})
    if not np.isfinite(chain.logits(row)).any():
        with pytest.raises(ValueError, match="banned"):
            sampler.candidates(row.copy())
        return True
    changed = row.copy()
    want, got = chain.distribution(row), sampler.candidates(changed)
    np.testing.assert_allclose(changed, chain.logits(row), rtol=1e-5, atol=1e-5)
    if want.margin < 1e-6 + 2e-7 * np.abs(row[row > -np.inf]).max():
        return False
    assert got.ids.tolist() == want.ids.tolist()
    np.testing.assert_allclose(got.probabilities(), want.probabilities, atol=1e-5, rtol=1e-3)
    return True


@pytest.mark.parametrize("name", SETTINGS)
def test_alone(name: str) -> None:
    results = [
        decided(params(**fit(settings, row)), row) for settings in SETTINGS[name] for row in every_row()
    ]
    # Rows made of ties meet sums such as one half exactly; the others hardly ever do.
    assert np.mean(results) > 0.85


@pytest.mark.parametrize(("first", "second"), list(combinations(SETTINGS, 2)))
def test_in_pairs(first: str, second: str) -> None:
    """Each pair of settings on some of the rows, so that each pair of parameters sees most of them."""
    rows = every_row()
    results = [
        decided(params(**fit({**one, **other}, row)), row)
        for number, (one, other) in enumerate(product(SETTINGS[first], SETTINGS[second]))
        for row in rows[number % 4 :: 4]
    ]
    assert np.mean(results) > 0.75


def fit(settings: dict[str, Any], row: Logits) -> dict[str, Any]:
    """The settings without the tokens that a small vocabulary lacks."""
    fitted = dict(settings)
    for name in ("allowed_token_ids", "stop_token_ids"):
        if name in fitted:
            fitted[name] = tuple(token for token in fitted[name] if token < len(row))
    if "logit_bias" in fitted:
        fitted["logit_bias"] = tuple(pair for pair in fitted["logit_bias"] if pair[0] < len(row))
    if "bad_words" in fitted:
        fitted["bad_words"] = tuple(words for words in fitted["bad_words"] if max(words) < len(row))
    return fitted
