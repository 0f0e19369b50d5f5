"""Draws in native code: the texts are those of NumPy, token for token, and chance goes on as far."""

from array import array
from typing import Any

import numpy as np
import pytest
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.native_draw import native_draw
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.llama import rows
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.sampling.rows import Logits, adversarial_rows
from tests.engine.sampling.test_properties import parameters, same_each_time
from tests.engine.sampling.test_properties import rows as made_up

needs_kernel = pytest.mark.skipif(not rows.has_kernel(), reason="a build of llama.cpp without the kernel")

SIZE = 5003
OFF: dict[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
COVERED: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 1.0},
    {"temperature": 1e-40},
    {"top_k": 1},
    {"top_k": 256, "temperature": 2.0},
    {"top_p": 0.999999, "min_p": 0.0, "temperature": 9.0},
    {"min_p": 1.0},
    {"top_p": 0.0, "min_keep": 60},
    {"repeat_penalty": 1.1, "presence_penalty": 0.1, "frequency_penalty": 0.1},
    {"repeat_penalty": 0.7, "repeat_last_n": -1},
    {"logit_bias": ((3, 9.0), (4, -np.inf)), "bad_words": ((5,), (6, 7))},
    {"ignore_eos": True, "dry_multiplier": 0.8, "min_tokens": 5},
    {"num_logprobs": 3, "score": True},
    {"allowed_token_ids": tuple(range(0, SIZE, 7))},
    {"samplers": ("temperature",)},
    {"samplers": ("top_k", "temperature"), "top_p": 0.3},
    {"samplers": ("top_k", "top_p", "temperature"), "min_p": 0.5},
    {"samplers": ("top_k", "min_p"), "top_p": 0.3, "min_p": 0.1},
    OFF,
    OFF | {"temperature": 0.3},
    OFF | {"temperature": 1.0},
    OFF | {"temperature": 1.0, "logit_bias": ((3, -np.inf),)},
)
OTHERS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.0, "repeat_penalty": 1.1},
    {"top_k": 257},
    {"top_k": 5, "min_keep": 300},
    {"samplers": ("top_p", "top_k")},
    {"samplers": ("temperature", "top_k")},
    {"typical_p": 0.9},
    {"xtc_probability": 0.5},
    {"top_n_sigma": 1.0},
    {"dynatemp_range": 0.5},
    {"mirostat": 1},
    {"mirostat": 2},
    {"adaptive_target": 0.3},
    {"tells_drawn": True, "num_logprobs": 2},
    OFF | {"top_p": 0.9},
    OFF | {"min_p": 0.05},
)


def long_rows(count: int, size: int = SIZE) -> list[Logits]:
    """Peaked and wide ones, with many ties in some."""
    rng = np.random.default_rng(7)
    made = rng.normal(0, 3, (count, size))
    made[::3, :: size // 50] += 12
    made[1::3] = np.round(made[1::3])
    return list(made.astype(np.float32))


def outcome(params: SamplingParams, logits: list[Logits], *, is_native: bool) -> list[object]:
    """Tokens, faults and log probabilities of a sequence, and where chance is in the end."""
    with pytest.MonkeyPatch.context() as patch:
        if not is_native:
            patch.setattr(rows, "_native", lambda: None)
        prompt = [token_id % len(logits[0]) for token_id in (1, 2, 3, 2)]
        sampler = Sampler(params, prompt, 0, TokenSpace(len(logits[0]), {len(logits[0]) - 1}))
        told: list[object] = []
        for row in logits:
            try:
                told += [sampler.sample(row.copy()), sampler.last_logprob, sampler.sum_logprob]
            except ValueError as error:
                told.append(str(error))
    return [*told, sampler._rng.getstate()]


@needs_kernel
@pytest.mark.parametrize("changes", COVERED + OTHERS)
def test_texts_are_the_same_with_and_without(changes: dict[str, Any]) -> None:
    params = SamplingParams(seed=5, **changes)
    logits = long_rows(60)
    assert outcome(params, logits, is_native=True) == outcome(params, logits, is_native=False)


@needs_kernel
@pytest.mark.parametrize("changes", COVERED)
def test_rows_of_all_kinds_come_to_the_same(changes: dict[str, Any]) -> None:
    params = SamplingParams(seed=5, **changes)
    for row in adversarial_rows().values():
        for logits in (np.resize(row, size) for size in (SIZE, 151_936)):
            few = [logits, logits[::-1].copy()]
            assert outcome(params, few, is_native=True) == outcome(params, few, is_native=False)


@needs_kernel
@same_each_time
@given(made_up, parameters)
def test_whatever_is_asked_for_comes_to_the_same(row: Logits, changes: dict[str, Any]) -> None:
    params = SamplingParams(**changes)
    few = [row, row[::-1].copy(), row]
    assert outcome(params, few, is_native=True) == outcome(params, few, is_native=False)


@needs_kernel
@same_each_time
@given(st.integers(0, 9), st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(COVERED))
def test_faults_of_a_row_are_told_in_the_same_words(
    place: int, value: float, changes: dict[str, Any]
) -> None:
    (row,) = long_rows(1)
    row[place * 555] = value
    params = SamplingParams(seed=1, **changes)
    assert outcome(params, [row], is_native=True) == outcome(params, [row], is_native=False)


@needs_kernel
def test_the_usual_draws_are_native() -> None:
    assert all(native_draw(SamplingParams(**changes), SIZE) is not None for changes in COVERED)
    assert all(native_draw(SamplingParams(**changes), SIZE) is None for changes in OTHERS)


def test_a_build_without_the_kernel_draws_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_native", lambda: None)
    (row,) = long_rows(1)
    assert native_draw(SamplingParams(), SIZE) is None
    assert rows.largest(row, 40) is None
    assert not rows.penalize(row, array("i", [0]), array("i", [1]), 1.1, 0, 0)
    best = int(row.argmax())
    sampler = Sampler(SamplingParams(seed=1, top_k=1), [], 0, TokenSpace(SIZE, {1}))
    assert sampler.sample(row) == best
