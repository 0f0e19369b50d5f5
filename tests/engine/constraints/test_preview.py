"""How far tokens could come that nobody has drawn: as far as they may, when they are drawn."""

import random

import pytest
from caravan.engine.constraints.guide import Guide
from caravan.engine.constraints.preview import num_possible
from caravan.engine.constraints.token_mask import ConstraintError, MaskFactory
from caravan.engine.params import Reasoning
from caravan.grammars.constraint import Constraint

from tests.engine.guided import CLOSE, END, OPEN, SIZE, MarkerVocab, ids, thoughts

WORDS = Constraint(grammar='start: WORD (" " WORD)*\nWORD: /[a-z]{1,4}/\n')
AFTER = Constraint(grammar='start: "(" /[a-z]{0,6}/ ")"\n', after=("<tool>",))
KINDS = [
    (WORDS, None),
    (AFTER, None),
    (None, thoughts(budget=4)),
    (WORDS, thoughts(budget=4)),
    (WORDS, thoughts(budget=4, is_open=False)),
    (AFTER, thoughts(is_open=False)),
]
LIKELY = [*ids("a", "b", " ", " the", "<tool>", "(", ")", "<t", "\n\n"), OPEN, CLOSE, END]


def make(constraint: Constraint | None, reasoning: Reasoning | None) -> Guide:
    factory = MaskFactory(SIZE, MarkerVocab())
    mask = None if constraint is None else factory.make(constraint, 1)[0]
    return Guide(MarkerVocab(), factory.space_ids, mask, constraint, reasoning, (OPEN, CLOSE))


def drawn(guide: Guide, token_ids: list[int]) -> int:
    """How many of these tokens a text takes that comes to nothing else."""
    for count, token_id in enumerate(token_ids):
        forced = guide.forced(is_ruled=True)
        if guide.is_complete or (forced and forced[0] != token_id) or not guide.admits(token_id):
            return count
    return len(token_ids)


@pytest.mark.parametrize(("constraint", "reasoning"), KINDS)
def test_what_is_possible_is_what_can_be_drawn(
    constraint: Constraint | None, reasoning: Reasoning | None
) -> None:
    rng = random.Random(1)
    for _ in range(60):
        text = [rng.choice(LIKELY) for _ in range(8)]
        guide, twin = make(constraint, reasoning), make(constraint, reasoning)
        begun = rng.randrange(4)
        if not drawn(guide, text[:begun]) == drawn(twin, text[:begun]) == begun:
            continue
        count = num_possible(guide, text[begun:])
        assert num_possible(guide, text[begun:]) == count
        assert drawn(guide, text[begun:]) == drawn(twin, text[begun:]) == count


@pytest.mark.parametrize(("constraint", "reasoning"), [(WORDS, None), (WORDS, thoughts(budget=9))])
def test_what_it_costs_to_look_ahead_ends_no_text(
    constraint: Constraint, reasoning: Reasoning | None
) -> None:
    guide = make(constraint, reasoning)
    mask = guide._mask
    mask._preview_budget._seconds = -1e9  # type: ignore[union-attr]
    with pytest.raises(ConstraintError, match="too many ways"):
        num_possible(guide, ids("ab"))
    assert drawn(guide, ids("a", "b")) == 2
