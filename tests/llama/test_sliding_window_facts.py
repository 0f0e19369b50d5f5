"""What llama.cpp does with cells that fall out of a sliding window, in a full-size cache (`swa_full`).

1. A cell that only one sequence holds is up for reuse in the windowed layers once the sequence's next token
   would not see it, even while other cells are empty: an idle sequence loses its oldest cells to others.
2. What is overwritten is purged up to there: the windowed layers then hold exactly the positions from
   `seq_pos_min` to the end. At least the last `n_swa - 1` positions always stay.
3. So a prefix of m tokens of a sequence can be continued, copied or cut, exactly if
   `seq_pos_min <= max(0, m - n_swa + 1)`: the token at position m sees positions above m - n_swa.
   A whole sequence always can be.
4. Cells that two sequences hold are never overwritten.
5. The other layers keep all: room is counted there, and "no room" means that these are full.
"""

import numpy as np
import pytest

from tests.llama.native import NativeContext, Opener, Run, alone, same, text
from tests.tiny_model import SLIDING_WINDOW

LENGTH = 100
GAP = 40
CELLS = 256


def with_losses(opened: Opener, losses: int) -> NativeContext:
    """A context whose idle sequence 0, of LENGTH tokens, has lost its first `losses` to sequence 6.

    Sequence 0 lies behind a gap of GAP cells. What does not fit into the gap goes on over its cells, although
    the cells behind it are free.
    """
    context = opened("gemma3")
    context.compute(Run(6, 0, text(100, GAP)))
    context.compute(Run(0, 0, text(1, LENGTH)))
    assert context.remove(6)
    context.compute(Run(6, 0, text(101, GAP + losses)))
    assert context.positions(6) == (0, GAP + losses - 1)
    return context


def shortest_reusable(context: NativeContext, seq_id: int) -> int:
    """The smallest m, above 0, of which fact 3 says that it can be continued."""
    first, _ = context.positions(seq_id)
    return first + SLIDING_WINDOW - 1 if first else 1


@pytest.mark.parametrize("losses", [0, 1, 30, 84, 85])
def test_an_idle_sequence_loses_its_oldest_cells_although_others_are_free(
    opened: Opener, losses: int
) -> None:
    context = with_losses(opened, losses)
    assert context.positions(0) == (losses, LENGTH - 1)


def test_what_the_next_token_sees_is_never_lost(opened: Opener) -> None:
    context = with_losses(opened, 86)
    assert context.positions(0) == (LENGTH - SLIDING_WINDOW + 1, LENGTH - 1)


@pytest.mark.parametrize("losses", [0, 1, 13, 30, 84, 85])
def test_the_first_position_tells_exactly_what_can_be_continued(opened: Opener, losses: int) -> None:
    source, tail = text(1, LENGTH), [5, 6, 7]
    context = with_losses(opened, losses)
    shortest = shortest_reusable(context, 0)
    assert shortest == (losses + SLIDING_WINDOW - 1 if losses else 1)
    for length in sorted({shortest, (shortest + LENGTH) // 2, LENGTH}):
        context.copy(0, 1, length)
        rows = context.compute(Run(1, length, tail, all_logits=True))
        fresh = opened("gemma3").compute(Run(0, 0, source[:length] + tail, all_logits=True))
        assert same(rows, fresh[-3:])
        assert context.remove(1)
    if losses:
        context.copy(0, 1, shortest - 1)
        rows = context.compute(Run(1, shortest - 1, tail, all_logits=True))
        fresh = opened("gemma3").compute(Run(0, 0, source[: shortest - 1] + tail, all_logits=True))
        assert not same(rows[:1], fresh[-3:-2])


def test_a_sequence_may_be_cut_to_what_can_be_continued(opened: Opener) -> None:
    source, tail = text(1, LENGTH), [5, 6, 7]
    context = with_losses(opened, 30)
    shortest = shortest_reusable(context, 0)
    assert context.remove(0, shortest)
    assert same(context.compute(Run(0, shortest, tail)), alone(opened, "gemma3", source[:shortest] + tail))


def test_shared_cells_are_never_overwritten(opened: Opener) -> None:
    context = opened("gemma3")
    context.compute(Run(6, 0, text(100, GAP)))
    context.compute(Run(0, 0, text(1, LENGTH)))
    context.copy(0, 1, 70)
    assert context.remove(6)
    context.compute(Run(6, 0, text(101, GAP + 10)))
    # The cells of positions 0 to 69 are held by two; the search went on behind them.
    assert context.positions(1) == (0, 69)
    assert context.positions(0) == (80, LENGTH - 1)


def test_room_is_counted_where_nothing_is_overwritten(opened: Opener) -> None:
    context = with_losses(opened, 30)
    context.compute(Run(1, 0, text(2, CELLS - LENGTH - GAP - 30)))
    before = [context.positions(seq_id) for seq_id in (0, 1, 6)]
    assert context.decode(Run(2, 0, [1])) == 1
    assert context.decode(Run(6, GAP + 30, [1])) == 1
    assert [context.positions(seq_id) for seq_id in (0, 1, 6)] == before


def test_random_reuse_by_the_rule_equals_computing_alone(opened: Opener) -> None:
    """Sequences come, grow, are copied as far as the rule allows, and go; each is always right."""
    rng = np.random.default_rng(3)
    context = opened("gemma3", n_ctx=512)
    known: dict[int, list[int]] = {}
    num_shortened = 0
    for round_number in range(60):
        target = int(rng.integers(7))
        known.pop(target, None)
        assert context.remove(target)
        prefix: list[int] = []
        if known and rng.random() < 0.7:
            source = int(rng.choice(sorted(known)))
            shortest = min(shortest_reusable(context, source), len(known[source]))
            length = int(rng.integers(shortest, len(known[source]) + 1))
            context.copy(source, target, length)
            prefix = known[source][:length]
            num_shortened += shortest > SLIDING_WINDOW
        run = text(round_number, int(rng.integers(1, 60)))
        known[target] = prefix + run
        code = context.decode(Run(target, len(prefix), run))
        if code == 1:
            known.pop(target)
            assert context.remove(target)
            for seq_id in list(known)[:3]:
                known.pop(seq_id)
                assert context.remove(seq_id)
            continue
        if round_number % 3 == 0:
            assert same(context.rows(1), alone(opened, "gemma3", known[target]))
    assert num_shortened > 5
