"""Drafts change nothing but the number of steps: not a token, not a number, whatever is drafted."""

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from caravan.engine.constraints.token_mask import TokenMask
from caravan.engine.params import GenerationRequest, SamplingParams
from caravan.grammars.constraint import Constraint
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.drafts.drafted import Drafted, draft_always, telling
from tests.engine.guided import CLOSE, SIZE, thoughts
from tests.fakes import FakeContext

WORDS = Constraint(grammar='start: WORD (" " WORD)*\nWORD: /[a-z]{1,4}/\n')
# Most of it is forced, so that runs without a draw and drafts meet.
FORM = Constraint(grammar='start: "<think>{\\"name\\": " /[a-z0-9]{1,3}/ ", \\"name\\": " /[0-9]{1,2}/ "}"\n')
AFTER = Constraint(grammar='start: "(" /[a-z]{0,6}/ ")"\n', after=("<tool>",))

PENALTIES: dict[str, st.SearchStrategy[Any]] = {
    "repeat_penalty": st.sampled_from([1.0, 1.3]),
    "presence_penalty": st.sampled_from([0.0, 0.5]),
    "frequency_penalty": st.sampled_from([0.0, 0.4]),
    "dry_multiplier": st.sampled_from([0.0, 0.8]),
}
SHAPES: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0.0, 0.0, 0.7, 1.5]),
    "dynatemp_range": st.sampled_from([0.0, 0.5]),
    "top_k": st.sampled_from([0, 1, 40]),
    "top_p": st.sampled_from([0.9, 1.0]),
    "typical_p": st.sampled_from([0.8, 1.0]),
    "top_n_sigma": st.sampled_from([-1.0, 2.0]),
    "xtc_probability": st.sampled_from([0.0, 0.5]),
    "mirostat": st.sampled_from([0, 0, 1, 2]),
    "adaptive_target": st.sampled_from([-1.0, -1.0, 0.3]),
}
ENDS: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 40),
    "min_tokens": st.sampled_from([0, 0, 12]),
    "stop": st.sampled_from([(), (), ("a",), ("qz", "the"), ("{", "(")]),
    "stop_token_ids": st.sampled_from([(), (), tuple(range(0, SIZE, 9))]),
    "ignore_eos": st.booleans(),
    "include_stop": st.booleans(),
    "num_logprobs": st.sampled_from([None, None, 0, 3]),
    "tells_drawn": st.booleans(),
    "score": st.booleans(),
    "bad_words": st.sampled_from([(), ((97, 98), (100,))]),
    "logit_bias": st.sampled_from([(), ((97, 30.0), (98, 29.5))]),
}


@st.composite
def requests(draw: st.DrawFn) -> list[GenerationRequest]:
    """Some requests that come together, with all that acts on a draw or ends a text."""
    stem = draw(st.lists(st.integers(0, 255), min_size=1, max_size=40))
    found = []
    for number in range(draw(st.integers(1, 3))):
        names = {**PENALTIES, **SHAPES} if draw(st.booleans()) else SHAPES
        fields = {name: draw(values) for name, values in {**names, **ENDS}.items()}
        reasoning = draw(st.sampled_from([None, None, thoughts(budget=5), thoughts(budget=3, is_open=False)]))
        is_traced = draw(st.booleans()) and not fields["score"]
        found.append(
            GenerationRequest(
                id=f"r{number}",
                token_ids=(*stem, number),
                params=SamplingParams(seed=draw(st.integers(0, 99)), **fields),
                n=draw(st.sampled_from([1, 1, 3])),
                constraint=draw(st.sampled_from([None, None, WORDS, FORM, AFTER])),
                reasoning=reasoning,
                shown_token_ids=(CLOSE,),
                num_traced=2 if is_traced else None,
            )
        )
    return found


@pytest.fixture(autouse=True)
def drafts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draft_always(patch)
        yield


@settings(max_examples=40, deadline=None)
@given(
    requests(),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(1, 20),
    st.sampled_from([4096, 4096, 130]),
    st.sampled_from([1, 2]),
)
def test_a_text_is_the_same_with_drafts(
    items: list[GenerationRequest], errors: float, most: int, num_cells: int, num_threads: int
) -> None:
    plain = Drafted(0, context=FakeContext(vocab_size=SIZE, num_cells=num_cells))
    expected = plain.known(items)
    drafted = Drafted(
        most,
        telling(items, expected, errors),
        FakeContext(vocab_size=SIZE, num_cells=num_cells),
        num_sampling_threads=num_threads,
    )
    assert drafted.known(items) == expected
    stats = drafted.engine.stats()
    if all(item.n == 1 for item in items):
        if errors == 1.0:
            assert stats.num_accepted == {}
        if errors == 0.0 and not any(item.constraint or item.reasoning for item in items):
            assert stats.num_accepted == stats.num_drafted


def test_true_drafts_spare_steps_and_false_ones_spare_none() -> None:
    item = GenerationRequest(
        id="r", token_ids=(1, 2, 3), params=SamplingParams(seed=1, max_tokens=60, ignore_eos=True)
    )
    plain = Drafted(0)
    expected = plain.known([item])
    true, false = (Drafted(8, telling([item], expected, errors)) for errors in (0.0, 1.0))
    assert true.known([item]) == false.known([item]) == expected
    # The prompt, and 60 tokens, nine a step.
    assert true.engine.stats().num_steps == 1 + 7
    assert false.engine.stats().num_steps == plain.engine.stats().num_steps == 60
    assert false.engine.stats().num_accepted == {}


def test_each_token_is_told_by_itself() -> None:
    item = GenerationRequest(
        id="r",
        token_ids=(1, 2, 3),
        params=SamplingParams(seed=1, max_tokens=40, allowed_token_ids=tuple(range(97, 123)), num_logprobs=1),
    )
    expected = Drafted(0).known([item])
    harness = Drafted(8, telling([item], expected, 0.0))
    harness.known([item])
    assert [len(output.text) for output in harness.outputs] == [1] * 40
    assert [len(output.logprobs) for output in harness.outputs] == [1] * 40
    assert [output.num_completion_tokens for output in harness.outputs] == list(range(1, 41))


def test_a_request_may_have_fewer_drafts_or_none() -> None:
    item = GenerationRequest(
        id="r", token_ids=(1, 2, 3), params=SamplingParams(seed=1, max_tokens=41, ignore_eos=True)
    )
    expected = Drafted(0).known([item])
    for most, num_steps in ((0, 41), (1, 21), (3, 11), (99, 6)):
        harness = Drafted(8, telling([item], expected, 0.0))
        assert harness.known([msgspec.structs.replace(item, max_drafted=most)]) == expected
        assert harness.engine.stats().num_steps == num_steps


def test_time_that_is_up_ends_a_run_of_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    item = GenerationRequest(
        id="r", token_ids=(1, 2, 3), params=SamplingParams(seed=1, max_tokens=400, ignore_eos=True)
    )
    whole = Drafted(0).known([item])["r", 0]
    texts = telling([item], {("r", 0): whole}, 0.0)
    for limit in range(20, 50):
        seconds = itertools.count()
        monkeypatch.setattr("time.monotonic", lambda counter=seconds: next(counter))
        params = msgspec.structs.replace(item.params, max_seconds=float(limit))
        found = Drafted(8, texts).known([msgspec.structs.replace(item, params=params)])["r", 0]
        assert found.reason == "length"
        assert 0 < len(found.token_ids) < 400
        assert whole.token_ids[: len(found.token_ids)] == found.token_ids


def test_masks_are_as_far_within_a_run_as_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a mask is worked out decides whether its only token is drawn, or taken without chance."""
    item = GenerationRequest(
        id="r", token_ids=(1, 2, 3), params=SamplingParams(seed=1, max_tokens=60), constraint=WORDS
    )
    forced, told = TokenMask.forced, list[bool]()

    def noting(mask: TokenMask) -> list[int]:
        mask._join()
        told.append(mask._next is not None)
        return forced(mask)

    monkeypatch.setattr(TokenMask, "forced", noting)
    expected = Drafted(0).known([item])
    plain = told.copy()
    told.clear()
    drafted = Drafted(8, telling([item], expected, 0.0))
    assert drafted.known([item]) == expected
    assert drafted.engine.stats().num_accepted["ngram"] > 10
    assert told == plain
