"""How many tokens are guessed ahead, by what steps have cost and how often guesses were right."""

import pytest
from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.proposer import DraftSource
from caravan.engine.params import GenerationRequest, SamplingParams

from tests.engine.drafts.drafted import Drafted, TrueText, telling
from tests.engine.guided import SIZE
from tests.fakes import FakeContext


def answer(name: str = "r", num_tokens: int = 120) -> GenerationRequest:
    return GenerationRequest(
        id=name,
        token_ids=(1, 2, 3, len(name)),
        params=SamplingParams(seed=1, max_tokens=num_tokens, ignore_eos=True),
    )


def drafted(items: list[GenerationRequest], errors: float, row_cost: float) -> Drafted:
    """An engine that has answered requests, and in which a row beyond the first of a step costs so much of a
    step.
    """
    expected = Drafted(0).known(items)
    harness = Drafted(8, telling(items, expected, errors))
    drafter = harness.engine._drafter

    def observe(_work: list[object], done: list[object]) -> None:
        rows = sum(item.num_cells for item in done)  # type: ignore[attr-defined]
        drafter._clock.observe(rows, 0.01 * (1 + row_cost * (rows - 1)))

    drafter.observe = observe  # type: ignore[method-assign, assignment]
    assert harness.known(items) == expected
    return harness


def test_right_guesses_are_computed_as_many_as_there_are() -> None:
    stats = drafted([answer()], errors=0.0, row_cost=0.1).engine.stats()
    assert stats.num_steps < 30
    assert stats.num_accepted == stats.num_drafted


def test_wrong_guesses_are_soon_not_computed_any_more() -> None:
    stats = drafted([answer()], errors=1.0, row_cost=0.1).engine.stats()
    assert stats.num_steps == 120
    assert stats.num_drafted.get("ngram", 0) < 40


def test_right_guesses_are_not_computed_where_rows_cost_as_much_as_steps() -> None:
    stats = drafted([answer()], errors=0.0, row_cost=1.0).engine.stats()
    assert stats.num_steps > 100


def test_where_half_of_the_guesses_are_right_only_a_few_are_computed_at_once() -> None:
    stats = drafted([answer(num_tokens=400)], errors=0.5, row_cost=0.2).engine.stats()
    assert stats.num_steps < 400
    assert stats.num_drafted["ngram"] < 3 * stats.num_steps


def test_a_busy_step_has_no_drafts() -> None:
    items = [answer("r" * count) for count in range(1, 9)]
    stats = drafted(items, errors=0.3, row_cost=1.0).engine.stats()
    assert sum(stats.num_drafted.values()) < 100


@pytest.mark.parametrize(("can_cut", "window"), [(False, 0), (True, 64)])
def test_nothing_is_drafted_where_memory_cannot_be_cut(can_cut: bool, window: int) -> None:
    items = [answer()]
    expected = Drafted(0, context=FakeContext(vocab_size=SIZE, can_cut=can_cut, sliding_window=window)).known(
        items
    )
    harness = Drafted(
        8, telling(items, expected, 0.0), FakeContext(vocab_size=SIZE, can_cut=can_cut, sliding_window=window)
    )
    assert harness.known(items) == expected
    assert harness.engine.stats().num_drafted == {}


def test_tokens_of_a_prediction_are_counted_for_their_request() -> None:
    item = answer()
    expected = Drafted(0).known([item])
    for errors in (0.0, 0.3):
        harness = Drafted(8, telling([item], expected, errors, DraftSource.PREDICTION))
        harness.known([item])
        stats, last = harness.engine.stats(), harness.outputs[-1]
        assert last.num_accepted_predictions == stats.num_accepted["prediction"] > 0
        assert (
            last.num_accepted_predictions + last.num_rejected_predictions == stats.num_drafted["prediction"]
        )
        counts = [(o.num_accepted_predictions, o.num_rejected_predictions) for o in harness.outputs]
        assert counts == sorted(counts)


class Breaking:
    """A proposer with a fault."""

    @property
    def source(self) -> DraftSource:
        return DraftSource.TREE

    def propose(self, token_ids: list[int], _most: int) -> list[int]:
        if len(token_ids) > 20:
            raise ZeroDivisionError
        return [1]


def test_a_proposer_that_fails_costs_drafts_and_no_request(caplog: pytest.LogCaptureFixture) -> None:
    items = [answer("r"), answer("rr")]
    expected = Drafted(0).known(items)
    harness = Drafted(8, lambda _item: ProposerChain([Breaking()]))
    assert harness.known(items) == expected
    assert [record.message for record in caplog.records] == [
        "a draft failed; there are no more of them before the engine starts again"
    ]


@pytest.mark.parametrize(("num_streams", "share"), [(1, 1.0), (8, 0.3)])
def test_among_many_streams_those_who_guessed_in_vain_rest(
    num_streams: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, propose = list[int](), TrueText.propose

    def noting(proposer: TrueText, token_ids: list[int], most: int) -> list[int]:
        questions.append(most)
        return propose(proposer, token_ids, most)

    monkeypatch.setattr(TrueText, "propose", noting)
    drafted([answer("r" * count) for count in range(1, 1 + num_streams)], errors=1.0, row_cost=1.0)
    num_asking = num_streams * (120 - 2)
    assert 0.2 * num_asking < len(questions) <= share * num_asking
