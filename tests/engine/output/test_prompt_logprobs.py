"""Log probabilities of prompts: right whatever is in memory, in bounded rows, and computed once."""

import random

import msgspec
import numpy as np
import pytest
from caravan.engine.output.logprobs import PromptLogprobBuffer, PromptScores
from caravan.engine.outputs import FinishReason, TokenLogprob
from caravan.engine.params import GenerationRequest

from tests.engine.harness import Harness, mixed_requests, request
from tests.fakes import VOCAB_SIZE, FakeContext

pytestmark = pytest.mark.usefixtures("either_attention")

IDS = np.arange(VOCAB_SIZE, dtype=np.int32)


def scoring(
    name: str, token_ids: list[int], *, top: int = 2, n: int = 1, salt: str = "", **params: object
) -> GenerationRequest:
    plain = request(name, token_ids, n=n, salt=salt, **params)
    return msgspec.structs.replace(plain, num_prompt_logprobs=top)


def expected(token_ids: tuple[int, ...], top: int) -> list[tuple[int, float, int, list[int]]]:
    """Token, log probability, rank and likeliest tokens, from the rows of a context of its own."""
    found = []
    for place in range(1, len(token_ids)):
        row = FakeContext()._row(list(token_ids[:place])).astype(np.float64)
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        order = np.argsort(-logprobs, kind="stable")
        token_id = token_ids[place]
        rank = 1 + int((logprobs > logprobs[token_id]).sum())
        found.append((token_id, float(logprobs[token_id]), rank, order[:top].tolist()))
    return found


def told(harness: Harness, name: str, index: int = 0) -> tuple[TokenLogprob, ...]:
    """The entries of a choice, which come by its first output and only once."""
    outputs = [o for o in harness.outputs if (o.request_id, o.index) == (name, index)]
    slices = [output for output in outputs if output.is_slice]
    first, *others = outputs[len(slices) :]
    assert slices == outputs[: len(slices)]
    assert not any(output.prompt_logprobs for output in others)
    return tuple(entry for output in (*slices, first) for entry in output.prompt_logprobs)


def check(harness: Harness, wanted: GenerationRequest) -> None:
    assert wanted.num_prompt_logprobs is not None
    for index in range(wanted.n):
        entries = told(harness, wanted.id, index)
        right = expected(wanted.token_ids, wanted.num_prompt_logprobs)
        assert [(e.token_id, e.rank, list(e.top_ids)) for e in entries] == [(t, r, i) for t, _, r, i in right]
        assert [e.logprob for e in entries] == pytest.approx(
            [logprob for _, logprob, _, _ in right], abs=1e-5
        )


def prompt(seed: int, length: int) -> list[int]:
    return random.Random(seed).choices(range(256), k=length)


@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 200])
def test_a_prompt_is_scored_beside_its_answer(length: int) -> None:
    harness = Harness()
    wanted = scoring("r", prompt(1, length), n=2)
    texts = harness.run([wanted])
    check(harness, wanted)
    assert texts == Harness().run([request("r", prompt(1, length), n=2)])


def test_nothing_is_drawn_for_a_score_alone() -> None:
    harness = Harness()
    wanted = scoring("r", prompt(1, 50), max_tokens=0)
    assert harness.run([wanted]) == {("r", 0): ""}
    check(harness, wanted)
    assert harness.outputs[-1].finish_reason is FinishReason.LENGTH
    assert harness.outputs[-1].num_completion_tokens == 0


def test_options_of_one_question_compute_its_context_once() -> None:
    harness = Harness()
    context = prompt(2, 300)
    options = [
        scoring(f"option{i}", [*context, *prompt(10 + i, 5)], max_tokens=0, temperature=0.0) for i in range(4)
    ]
    harness.run(options[:1])
    assert harness.context.num_decoded == 305
    harness.run(options[1:])
    # Of each further option its own five tokens, and the last of the context, whose row scores the first.
    assert harness.context.num_decoded == 305 + 3 * 6
    for option in options:
        check(harness, option)
    assert max(o.num_cached_tokens for o in harness.outputs if o.request_id == "option3") == 299


def test_options_that_arrive_together_compute_their_context_once() -> None:
    harness = Harness()
    context = prompt(2, 300)
    options = [scoring(f"option{i}", [*context, *prompt(10 + i, 5)], max_tokens=0) for i in range(6)]
    harness.run(options)
    for option in options:
        check(harness, option)
    assert harness.context.num_decoded < 400


def test_cells_without_scores_are_computed_again_and_are_right() -> None:
    harness = Harness()
    context = prompt(3, 100)
    harness.run([request("plain", context)])
    wanted = scoring("scored", [*context, 1, 2, 3])
    harness.run([wanted])
    check(harness, wanted)
    assert told(harness, "plain") == ()


def test_more_likeliest_tokens_than_are_known_are_computed_and_fewer_are_cut() -> None:
    harness = Harness()
    for top in (1, 5, 3, 0):
        wanted = scoring(f"top{top}", prompt(4, 60), top=top)
        harness.run([wanted])
        check(harness, wanted)


def test_scores_do_not_cross_salts() -> None:
    harness = Harness()
    harness.run([scoring("one", prompt(5, 100), salt="a", max_tokens=0)])
    harness.run([scoring("two", prompt(5, 100), salt="b", max_tokens=0)])
    assert harness.context.num_decoded == 200
    assert harness.outputs[-1].num_cached_tokens == 0


@pytest.mark.parametrize("can_cut", [True, False])
def test_scores_hold_under_load_and_disturb_nobody(can_cut: bool) -> None:
    plain = mixed_requests(7, 12)
    alone = Harness().run(plain)
    scored = [
        scoring(f"s{i}", [*prompt(i % 3, 90), *prompt(20 + i, i)], n=1 + i % 2, max_tokens=9 * i)
        for i in range(10)
    ]
    harness = Harness(FakeContext(num_cells=300, can_cut=can_cut), max_running=6)
    texts = harness.run([item for pair in zip(plain, scored, strict=False) for item in pair] + plain[10:])
    assert harness.engine.stats().num_preemptions > 0
    for wanted in scored:
        check(harness, wanted)
    assert {key: texts[key] for key in alone} == alone


def test_the_rows_of_a_step_are_bounded() -> None:
    harness = Harness(batch_size=256, max_running=4, num_scored_rows=16)
    requests = [scoring(f"s{i}", prompt(i, 120), max_tokens=3) for i in range(4)]
    harness.run([*requests, request("plain", prompt(9, 100))])
    for wanted in requests:
        check(harness, wanted)
    assert harness.context.most_rows <= 16 + 4


def test_fewer_rows_than_prompts_serve_those_that_came_first() -> None:
    harness = Harness(num_scored_rows=2, max_running=8)
    requests = [scoring(f"s{i}", prompt(i, 20), max_tokens=1) for i in range(8)]
    harness.run(requests)
    for wanted in requests:
        check(harness, wanted)
    assert harness.context.most_rows <= 2 + 8


def test_a_book_forgets_the_ends_of_prompts_first_and_stays_small() -> None:
    book = PromptLogprobBuffer(capacity=40_000)
    rows = np.zeros((49, VOCAB_SIZE), np.float32)
    for seed in range(20):
        scores = PromptScores(book, prompt(seed, 50), "", 1)
        scores.recall()
        assert scores.entries == []
        scores.take(rows, IDS)
        again = PromptScores(book, prompt(seed, 50), "", 1)
        again.recall()
        assert again.entries == scores.entries
    assert len(book._nodes) <= 100
    first = PromptScores(book, prompt(18, 50), "", 1)
    first.recall()
    # Of the prompt before the last, only the beginning is left.
    assert 0 < len(first.entries) < 49


def test_a_prompt_longer_than_the_book_is_scored_all_the_same() -> None:
    book = PromptLogprobBuffer(capacity=4_000)
    scores = PromptScores(book, prompt(1, 50), "", 1)
    for _ in range(7):
        scores.take(np.zeros((7, VOCAB_SIZE), np.float32), IDS)
        scores.recall()
    assert scores.is_complete


def test_a_row_that_is_no_number_ends_only_its_request() -> None:
    scores = PromptScores(PromptLogprobBuffer(), [1, 2], "", 1)
    with pytest.raises(ValueError, match="not a number"):
        scores.take(np.full((1, VOCAB_SIZE), np.nan, np.float32), IDS)
