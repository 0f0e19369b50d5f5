"""What a traced draw tells is what a draw does: on rows and parameters that Hypothesis makes up."""

import math
from typing import Any

import numpy as np
import pytest
from caravan.engine.outputs import StageTrace, StepTrace, unpacked_top
from caravan.engine.params import SamplingParams
from caravan.engine.sampling.sampler import Sampler, TokenSpace
from caravan.engine.sampling.stages import stage_names
from caravan.engine.sampling.trace import TracedSampler
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.engine.sampling.reference_chain import ReferenceChain
from tests.engine.sampling.rows import Logits, params
from tests.engine.sampling.test_properties import parameters, rows, same_each_time

END = 0
PROMPT = [1, 2, 1, 2]
# As a request may have them: mirostat beside no other sampler, adaptive-p beside any.
draws: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"mirostat": 1, "mirostat_tau": 2.0, "mirostat_eta": 0.3},
        {"mirostat": 2, "mirostat_tau": 3.0},
        {"adaptive_target": 0.3},
        {"adaptive_target": 0.9, "adaptive_decay": 0.2},
    ]
)
rules: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"logit_bias": ((1, 2.0), (2, -math.inf))}, {"ignore_eos": True}, {"bad_words": ((1, 2),)}]
)
extras: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"num_logprobs": 3},
        {"num_logprobs": 2, "tells_drawn": True},
        {"samplers": ("temperature", "top_k")},
        {"samplers": ("top_k", "infill", "min_p")},
        {"samplers": ("top_p", "temperature", "top_p")},
    ]
)
long_rows = rows.filter(lambda row: len(row) >= 3)


def settings(*changes: dict[str, Any]) -> SamplingParams:
    merged = {name: value for part in changes for name, value in part.items()}
    if merged.get("mirostat") or "adaptive_target" in merged:
        merged.pop("tells_drawn", None)
    return params(**merged)


def space(row: Logits) -> TokenSpace:
    # Many of them begin alike, and the end has no text.
    return TokenSpace(len(row), {END}, lambda token_id: bytes([token_id % 7 or 7]) * (token_id % 11))


def traced(wanted: SamplingParams, row: Logits, prompt: list[int] = PROMPT) -> TracedSampler:
    return TracedSampler(wanted, prompt, 0, space(row), num_candidates=len(row))


def outcome(sampler: Sampler, row: Logits) -> int | str:
    """The token, or why there is none."""
    try:
        return sampler.sample(row.copy())
    except ValueError as error:
        return str(error)


def left(stage: StageTrace) -> dict[int, float]:
    return dict(zip(*unpacked_top(stage.top), strict=True))


@same_each_time
@given(row=long_rows, changes=parameters, draw=draws, rule=rules, extra=extras)
def test_tracing_changes_no_draw(
    row: Logits, changes: dict[str, Any], draw: dict[str, Any], rule: dict[str, Any], extra: dict[str, Any]
) -> None:
    wanted = settings(changes, draw, rule, extra)
    plain, told = Sampler(wanted, PROMPT, 0, space(row)), traced(wanted, row)
    for shift in range(4):
        turned = np.roll(row, shift)
        token = outcome(plain, turned)
        assert outcome(told, turned) == token
        assert (plain.last_logprob, plain.mirostat_mu) == (told.last_logprob, told.mirostat_mu)
        if isinstance(token, str):
            return
        (step,) = told.tell()
        assert step.token_id == token


@same_each_time
@given(row=long_rows, changes=parameters, draw=draws, rule=rules, extra=extras)
def test_the_last_stage_is_what_the_draw_chooses_from(
    row: Logits, changes: dict[str, Any], draw: dict[str, Any], rule: dict[str, Any], extra: dict[str, Any]
) -> None:
    wanted = settings(changes, draw, rule, extra)
    told, text = traced(wanted, row), list(PROMPT)
    for shift in range(3):
        turned = np.roll(row, shift)
        other = Sampler(wanted, text, 0, space(row))
        other._rng.setstate(told._rng.getstate())
        token = outcome(told, turned)
        if isinstance(token, str):
            with pytest.raises(ValueError, match=token):
                other.candidates(turned.copy())
            return
        (step,) = told.tell()
        chosen = other.candidates(turned.copy())
        if told.is_argmax:
            assert [stage.name for stage in step.stages] == ["raw", "draw"]
            assert list(left(step.stages[-1])) == chosen.ids.tolist() == [token]
        else:
            # What mirostat and adaptive-p make of it is in the last one.
            stage = step.stages[-2 if draw else -1]
            assert left(stage) == dict(zip(chosen.ids.tolist(), chosen.logits.tolist(), strict=True))
            named = [stage.name for stage in step.stages if stage.name not in ("bias", "penalties", "dry")]
            assert named == ["raw", *stage_names(wanted), "draw"]
        check_sums(step, turned)
        text.append(token)


def check_sums(step: StepTrace, row: Logits) -> None:
    """Every number about a stage, from all that it lists."""
    before: dict[int, float] = {}
    for stage in step.stages:
        now = left(stage)
        assert len(now) == stage.num_left
        probabilities = {i: math.exp(logit - stage.log_total) for i, logit in now.items()}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        entropy = -sum(p * math.log(p) for p in probabilities.values() if p)
        assert stage.entropy == pytest.approx(entropy, abs=1e-4)
        if stage.name == "raw":
            assert now == {i: float(logit) for i, logit in enumerate(row) if logit > -np.inf}
            assert step.logprob == pytest.approx(math.log(probabilities[step.token_id] or 1e-300), abs=1e-5)
        elif stage.name != "infill":
            cut = sum(p for i, p in before.items() if i not in now)
            assert stage.num_cut == len(before) - len(now)
            assert stage.cut_mass == pytest.approx(cut, abs=1e-5)
        before = probabilities
    assert step.probability == pytest.approx(before[step.token_id], abs=1e-9)


@same_each_time
@given(row=long_rows, changes=parameters, draw=draws, rule=rules, count=st.integers(0, 5))
def test_tokens_that_are_followed_leave_the_state_of_tokens_that_are_drawn(
    row: Logits, changes: dict[str, Any], draw: dict[str, Any], rule: dict[str, Any], count: int
) -> None:
    wanted = settings(changes, draw, rule)
    whole, rest = traced(wanted, row), traced(wanted, row)
    turned = [np.roll(row, shift) for shift in range(6)]
    tokens = [outcome(whole, each) for each in turned]
    if any(isinstance(token, str) for token in tokens):
        return
    for each, token in zip(turned[:count], tokens, strict=False):
        rest.follow(each.copy(), int(token))
    assert rest.tell() == ()
    assert [outcome(rest, each) for each in turned[count:]] == tokens[count:]
    assert rest.tell() == whole.tell()[count:]


def test_a_token_that_could_not_be_drawn_teaches_the_draw_nothing() -> None:
    row = np.arange(20, dtype=np.float32)
    for draw in ({"mirostat": 2, "mirostat_tau": 0.5}, {"adaptive_target": 0.5, "top_k": 3}):
        told = traced(params(**draw), row)
        told.follow(row.copy(), 0)
        fresh = traced(params(**draw), row)
        # Chance has gone on all the same.
        fresh._rng.random()
        told.sample(row.copy())
        fresh.sample(row.copy())
        assert [step.mu for step in told.tell()] == [step.mu for step in fresh.tell()]


@pytest.mark.parametrize("mirostat", [1, 2])
def test_mirostats_limit_is_the_references(mirostat: int) -> None:
    wanted = params(mirostat=mirostat, mirostat_tau=3.0, seed=5)
    rng = np.random.default_rng(8)
    made = [rng.normal(0, 2.5, 300).astype(np.float32) for _ in range(60)]
    told, reference = traced(wanted, made[0]), ReferenceChain(wanted, PROMPT, {END})
    for row in made:
        before = reference.mu
        assert told.sample(row.copy()) == reference.draw(row)
        (step,) = told.tell()
        assert step.mu == pytest.approx((before, reference.mu), rel=1e-5)


@same_each_time
@given(row=long_rows, changes=parameters)
def test_it_is_the_distribution_of_the_definitions(row: Logits, changes: dict[str, Any]) -> None:
    wanted = params(**{**changes, "xtc_probability": 0.0})
    expected = ReferenceChain(wanted, PROMPT, {END}).distribution(row)
    if expected.margin < 1e-3:
        return
    told = traced(wanted, row)
    told.sample(row.copy())
    (step,) = told.tell()
    last = step.stages[-1]
    found = {i: math.exp(logit - last.log_total) for i, logit in left(last).items()}
    assert sorted(found) == expected.ids.tolist()
    for token_id, probability in zip(expected.ids.tolist(), expected.probabilities.tolist(), strict=True):
        assert found[token_id] == pytest.approx(probability, abs=2e-4)


def test_only_so_many_are_told_the_likeliest_first() -> None:
    row = np.array([1, 5, 3, 5, -np.inf, 2], np.float32)
    told = TracedSampler(params(top_k=4), [], 0, space(row), num_candidates=3)
    told.sample(row)
    (step,) = told.tell()
    assert [list(left(stage)) for stage in step.stages] == [[1, 3, 2]] * 4
    assert [(stage.num_left, stage.num_cut) for stage in step.stages] == [(5, 0), (4, 1), (4, 0), (4, 0)]
    assert told.tell() == ()
