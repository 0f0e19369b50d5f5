"""The whole draw: the defined distribution, the documented order, and always the same by seed."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from numpy.typing import NDArray

from tests.engine.sampling.oracle import row

SIZE = 50
DRAWS = 20_000
END = 49
NEUTRAL: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 7}


def sampler(prompt: list[int] | None = None, index: int = 0, **params: object) -> Sampler:
    settings: dict[str, Any] = {**NEUTRAL, **params}
    return Sampler(SamplingParams(**settings), prompt or [], index, TokenSpace(SIZE, {END}))


def logits() -> NDArray[np.float32]:
    return row(1, SIZE, 2.0)


def expected(params: SamplingParams) -> NDArray[np.float64]:
    """The distribution by its definition: filters on the untempered probabilities, in llama.cpp's order."""
    values = logits().astype(np.float64)
    order = np.argsort(-values)
    keep = order[: params.top_k] if params.top_k else order
    probabilities = np.exp(values[keep]) / np.exp(values[keep]).sum()
    keep = keep[: int(np.searchsorted(np.cumsum(probabilities), params.top_p)) + 1]
    keep = keep[np.exp(values[keep] - values[keep[0]]) >= params.min_p]
    weights: NDArray[np.float64] = np.zeros(SIZE)
    weights[keep] = np.exp((values[keep] - values[keep[0]]) / params.temperature)
    weights /= weights.sum()
    return weights


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0.5, "top_k": 5},
        {"temperature": 1.5, "top_p": 0.7},
        {"temperature": 2.0, "min_p": 0.1},
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    ],
)
def test_draws_have_the_defined_distribution(params: dict[str, Any]) -> None:
    draw = sampler(**params)
    counts = Counter(draw.sample(logits()) for _ in range(DRAWS))
    wanted = expected(SamplingParams(**{**NEUTRAL, **params}))
    got = np.array([counts[i] for i in range(SIZE)]) / DRAWS
    assert set(np.flatnonzero(got)) <= set(np.flatnonzero(wanted))
    # Five standard deviations: a seeded draw either passes always or never.
    assert np.all(np.abs(got - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / DRAWS) + 1e-9)


def test_temperature_zero_is_the_argmax() -> None:
    greedy = sampler(temperature=0)
    assert greedy.is_argmax
    assert greedy.sample(logits()) == int(logits().argmax())


@pytest.mark.parametrize(
    "params",
    [
        {"repeat_penalty": 1.1},
        {"dry_multiplier": 0.8},
        {"logit_bias": ((3, 5.0),)},
        {"bad_words": ((3,),)},
        {"allowed_token_ids": (1, 2)},
        {"ignore_eos": True},
        {"min_tokens": 2},
        {"xtc_probability": 0.5},
        {"typical_p": 0.5},
    ],
)
def test_greedy_with_anything_that_matters_is_not_taken_in_bulk(params: dict[str, Any]) -> None:
    assert not sampler(temperature=0, **params).is_argmax


@pytest.mark.parametrize(
    "params",
    [
        {"repeat_penalty": 1.5, "presence_penalty": 0.4, "frequency_penalty": 0.3},
        {"dry_multiplier": 0.8, "dry_allowed_length": 1},
        {"logit_bias": ((3, 5.0), (4, float("-inf"))), "top_k": 1},
        {"ignore_eos": True, "top_p": 0.1},
        {"allowed_token_ids": (1, 2), "min_p": 0.9},
        {"bad_words": ((3,),), "top_n_sigma": 0.1},
    ],
)
def test_greedy_draws_are_those_of_all_stages(params: dict[str, Any]) -> None:
    short, whole = sampler(temperature=0, **params), sampler(temperature=0, **params)
    whole._is_greedy = False
    rng = np.random.default_rng(3)
    for _ in range(200):
        # Many equal ones: the first of the likeliest is taken.
        row = rng.integers(0, 4, SIZE).astype(np.float32)
        assert short.sample(row.copy()) == whole.sample(row)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**63, -1])
def test_a_seed_repeats_and_choices_differ(seed: int) -> None:
    def draws(index: int) -> list[int]:
        draw = sampler(index=index, seed=seed)
        return [draw.sample(logits()) for _ in range(30)]

    assert draws(0) == draws(0)
    assert draws(0) != draws(1)


def test_without_a_seed_no_two_are_alike() -> None:
    draws = [sampler(seed=None) for _ in range(8)]
    assert len({tuple(draw.sample(logits()) for _ in range(30)) for draw in draws}) == 8


def test_bias_bans_and_allowed_tokens() -> None:
    best = int(logits().argmax())
    assert sampler(temperature=0, logit_bias=((4, 100.0),)).sample(logits()) == 4
    assert sampler(temperature=0, logit_bias=((best, -math.inf),)).sample(logits()) != best
    assert sampler(temperature=0, bad_words=((best,),)).sample(logits()) != best
    allowed = (3, 7, 11)
    assert {sampler(allowed_token_ids=allowed, seed=i).sample(logits()) for i in range(60)} == set(allowed)
    with pytest.raises(ValueError, match="banned"):
        sampler(allowed_token_ids=(3,), logit_bias=((3, -math.inf),)).sample(logits())


def test_a_bad_word_of_several_tokens_may_begin_but_not_end() -> None:
    best = int(logits().argmax())
    assert sampler([5, 6], temperature=0, bad_words=((5, 6, best),)).sample(logits()) != best
    assert sampler([6, 5], temperature=0, bad_words=((5, 6, best),)).sample(logits()) == best
    across = sampler([5], temperature=0, bad_words=((5, best, best),))
    assert across.sample(logits()) == best
    assert across.sample(logits()) != best


def test_the_end_waits_for_min_tokens_and_never_comes_with_ignore_eos() -> None:
    def ending() -> NDArray[np.float32]:
        values = logits()
        values[END] = 50
        return values

    patient = sampler(temperature=0, min_tokens=3)
    assert [patient.sample(ending()) == END for _ in range(5)] == [False, False, False, True, True]
    assert sampler(temperature=0, ignore_eos=True).sample(ending()) != END


def test_the_order_of_samplers_is_the_requests() -> None:
    # XTC before top_k drops the best; after a top_k of one it has nothing to drop.
    best = int(logits().argmax())
    options: dict[str, Any] = {"top_k": 1, "xtc_probability": 1.0, "xtc_threshold": 0.01}
    assert sampler(samplers=("top_k", "xtc"), **options).sample(logits()) == best
    assert sampler(samplers=("xtc", "top_k"), **options).sample(logits()) != best


def test_penalties_count_the_prompt_and_the_draws() -> None:
    best = int(logits().argmax())
    second = float(np.sort(logits())[-2])
    margin = float(logits()[best]) - second
    assert sampler([best], temperature=0, presence_penalty=margin - 0.1).sample(logits()) == best
    assert sampler([best], temperature=0, presence_penalty=margin + 0.1).sample(logits()) != best
    assert sampler([best] * 40, temperature=0, frequency_penalty=margin / 20).sample(logits()) != best
    drawn = sampler(temperature=0, repeat_penalty=100.0)
    first = drawn.sample(logits())
    assert drawn.sample(logits()) != first


def mean_surprise(draw: Sampler, count: int) -> float:
    """Mean of -log2 p of the draws, p being the model's own probability."""
    probabilities = np.exp(logits().astype(np.float64))
    probabilities /= probabilities.sum()
    return float(np.mean([-np.log2(probabilities[draw.sample(logits())]) for _ in range(count)]))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tau", [1.5, 2.5])
def test_mirostat_steers_the_surprise_to_tau(version: int, tau: float) -> None:
    draw = sampler(mirostat=version, mirostat_tau=tau, mirostat_eta=0.05)
    assert draw.mirostat_mu == 2 * tau
    probabilities = np.exp(logits().astype(np.float64))
    probabilities /= probabilities.sum()
    entropy = float(-(probabilities * np.log2(probabilities)).sum())
    assert entropy > 3
    # Surprise is measured within what is left, so the model's own is a little above it.
    assert tau - 0.2 <= mean_surprise(draw, 4000) <= tau + 1.0
    assert draw.mirostat_mu != 2 * tau


def test_penalties_bias_and_temperature_act_under_mirostat() -> None:
    best = int(logits().argmax())
    plain = Counter(sampler(mirostat=2, mirostat_tau=3.0, seed=i).sample(logits()) for i in range(400))
    banned = {
        sampler(mirostat=2, logit_bias=((best, -math.inf),), seed=i).sample(logits()) for i in range(100)
    }
    cold = {sampler(mirostat=2, temperature=0.01, seed=i).sample(logits()) for i in range(50)}
    penalised = sampler([best] * 30, mirostat=2, frequency_penalty=2.0)
    assert plain[best] > 0
    assert best not in banned
    assert cold == {best}
    assert best not in {penalised.sample(logits()) for _ in range(50)}


def test_adaptive_p_prefers_its_target() -> None:
    probabilities = np.exp(logits().astype(np.float64))
    probabilities /= probabilities.sum()

    def mean(target: float) -> float:
        draw = sampler(adaptive_target=target, adaptive_decay=0.9)
        return float(np.mean([probabilities[draw.sample(logits())] for _ in range(500)]))

    assert mean(0.02) < mean(0.2) < mean(0.6) + 1e-9


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_score_adds_up_log_probabilities_before_truncation(temperature: float) -> None:
    values = logits().astype(np.float64)
    logprobs = values - np.log(np.exp(values).sum())
    draw = sampler(temperature=temperature, top_k=5, score=True)
    drawn = [draw.sample(logits()) for _ in range(20)]
    assert draw.sum_logprob == pytest.approx(sum(logprobs[drawn]), abs=1e-4)
    assert sampler().sum_logprob is None
