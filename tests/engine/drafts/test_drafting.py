"""What is guessed of one sequence, held against what is drawn."""

from caravan.engine.drafts.chain import ProposerChain
from caravan.engine.drafts.drafting import DraftCounts, Drafting
from caravan.engine.drafts.proposer import DraftSource

from tests.engine.drafts.drafted import TrueText

TEXT = [*range(40), *range(40)]


def drafting(source: DraftSource = DraftSource.NGRAM) -> Drafting:
    """Guesses at a text without errors."""
    return Drafting(ProposerChain([TrueText([TEXT], 0.0, source)]), 8, DraftCounts())


def test_what_was_not_computed_is_compared_and_not_counted() -> None:
    made = drafting(DraftSource.PREDICTION)
    before = made.chain.acceptance[DraftSource.PREDICTION].rate
    for count in range(3, 9):
        assert made.guess(TEXT[:count], lambda _: 4) == tuple(TEXT[count : count + 4])
        made.note(TEXT[count])
    made.end()
    assert made.chain.acceptance[DraftSource.PREDICTION].rate > before
    assert made.num_accepted == made.num_rejected == 0


def test_each_computed_token_is_accepted_or_rejected() -> None:
    made = drafting(DraftSource.PREDICTION)
    made.guess(TEXT[:3], lambda _: 8)
    made.compute(5)
    for token_id in TEXT[3:5]:
        made.note(token_id)
    assert (made.num_accepted, made.num_rejected) == (2, 0)
    made.note(99)
    assert (made.num_accepted, made.num_rejected) == (2, 3)
    made.note(6)
    made.end()
    assert (made.num_accepted, made.num_rejected) == (2, 3)


def test_a_text_that_ends_within_a_draft_rejects_the_rest() -> None:
    made = drafting(DraftSource.PREDICTION)
    made.guess(TEXT[:3], lambda _: 8)
    made.compute(5)
    made.note(TEXT[3])
    made.end()
    assert (made.num_accepted, made.num_rejected) == (1, 4)


def test_guesses_after_a_row_of_right_ones_are_judged_by_themselves() -> None:
    made = drafting()
    for _ in range(20):
        made.guess(TEXT[:3], lambda _: 8)
        made.note(99)
    made.guess(TEXT[:3], lambda _: 8)
    poor = made.rate
    for token_id in TEXT[3:11]:
        made.note(token_id)
    made.guess(TEXT[:11], lambda _: 8)
    assert poor < 0.3
    assert made.rate > 0.6
    made.note(99)
    made.guess(TEXT[:3], lambda _: 8)
    assert made.rate < 0.5
