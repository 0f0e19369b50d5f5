"""Log probabilities against a plain computation in double precision."""

import numpy as np
import pytest
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.candidates import Floats, Ids, LogSoftmax
from caravan.engine.sampling.sampler import Sampler, TokenSpace

from tests.engine.sampling.rows import adversarial_rows, params

ROWS = {name: row for name, row in adversarial_rows().items() if np.isfinite(row.max())}


def exact(row: Floats) -> list[float]:
    wide = row.astype(np.float64) - float(row.max())
    with np.errstate(divide="ignore"):
        return list(wide - np.log(np.exp(wide).sum()))


def all_ids(row: Floats) -> Ids:
    return np.arange(len(row), dtype=np.int32)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_the_likeliest_are_in_order_and_right(name: str, count: int) -> None:
    row = ROWS[name]
    expected = exact(row)
    best = int(row.argmax())
    entry = LogSoftmax(row, all_ids(row), count).of(best)
    assert entry.logprob == pytest.approx(expected[best], abs=1e-4)
    order = sorted(range(len(row)), key=lambda token_id: -expected[token_id])
    possible = [token_id for token_id in order if row[token_id] > -np.inf]
    assert list(entry.top_ids) == possible[:count]
    assert entry.top_logprobs == pytest.approx([expected[i] for i in entry.top_ids], abs=1e-4)


def draw(row: Floats, settings: SamplingParams) -> tuple[int, Sampler]:
    sampler = Sampler(settings, [1, 2], 0, TokenSpace(len(row), [0]))
    return sampler.sample(row.copy()), sampler


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_they_come_after_bias_bans_and_penalties_and_before_truncation_and_temperature(
    temperature: float,
) -> None:
    row = np.random.default_rng(0).normal(0, 2, 300).astype(np.float32)
    best = int(row.argmax())
    settings = params(
        temperature=temperature,
        top_k=3,
        logit_bias=((7, 3.0), (best, -np.inf)),
        presence_penalty=1.5,
        num_logprobs=20,
    )
    token_id, sampler = draw(row, settings)
    changed = row.copy()
    changed[7] += 3
    changed[best] = -np.inf
    changed[[1, 2]] -= 1.5
    expected = exact(changed)
    entry = sampler.last_logprob
    assert entry is not None
    assert entry.token_id == token_id
    assert entry.logprob == pytest.approx(expected[token_id], abs=1e-4)
    assert len(entry.top_ids) == 20
    assert best not in entry.top_ids
    assert entry.top_logprobs == pytest.approx([expected[i] for i in entry.top_ids], abs=1e-4)


def test_greedy_decoding_keeps_its_short_way_and_has_them_too() -> None:
    row = np.random.default_rng(0).normal(0, 2, 300).astype(np.float32)
    token_id, sampler = draw(row, params(temperature=0.0, num_logprobs=0))
    assert sampler.is_argmax
    assert sampler.last_logprob is not None
    assert sampler.last_logprob.token_id == token_id
    assert sampler.last_logprob.top_ids == ()
    assert draw(row, params(temperature=0.0))[1].last_logprob is None


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_those_of_what_was_left_for_the_draw(temperature: float) -> None:
    row = np.random.default_rng(0).normal(0, 2, 300).astype(np.float32)
    settings = params(temperature=temperature, top_k=3, num_logprobs=20, tells_drawn=True)
    token_id, sampler = draw(row, settings)
    entry = sampler.last_logprob
    assert entry is not None
    best = np.argsort(-row)[: 3 if temperature else 1]
    left = exact(row[best] / (temperature or 1))
    assert entry.top_ids == tuple(best)
    assert entry.top_logprobs == pytest.approx(left, abs=1e-4)
    assert entry.logprob == pytest.approx(left[entry.top_ids.index(token_id)], abs=1e-4)
