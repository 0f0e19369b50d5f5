"""How far a sequence could go on by tokens that nobody has drawn."""

from collections.abc import Sequence

from caravan.engine.constraints.guide import Guide
from caravan.engine.constraints.stage import Stage


def num_possible(guide: Guide, token_ids: Sequence[int]) -> int:
    """Count the tokens, the first ones, that could come one after the other; the guide stays as it is.

    Raises ConstraintError.
    """
    mask = guide.next_mask
    if guide.stage is Stage.FREE:
        return len(token_ids)
    if guide.stage is Stage.BOUND and mask is not None:
        return mask.num_possible(token_ids)
    twin = guide.copied()
    for place, token_id in enumerate(token_ids):
        # What a mask has left no choice about shows in what it admits; an end of thoughts by force does not.
        forced = twin.forced(is_ruled=True)
        if twin.is_complete or (forced and forced[0] != token_id) or not twin.admits(token_id):
            return place
    return len(token_ids)
