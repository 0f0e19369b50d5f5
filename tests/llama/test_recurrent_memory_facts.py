"""What llama.cpp does with memory that holds a state instead of cells, alone or beside attention.

1. A sequence cannot be cut: `llama_memory_seq_rm` of a tail returns false and changes nothing, attention half
   included. Removing what is not there, or the whole sequence, returns true.
2. A copy of a whole sequence continues like computing it alone, and so does its source, in one batch or
   apart, and however many copies there are. Source and copies may be removed in any order.
3. A copy of a part copies the whole state: positions look right, a following decode is accepted, and its
   logits are wrong. Only whole sequences may be copied.
4. A copy onto a filled sequence replaces it where there is nothing but state; beside attention the cells of
   both stay. Empty it first.
5. State alone has no cells: there is never "no room", whatever `n_ctx` says. Beside attention there is, and
   then neither half has changed (see `test_memory_facts`).
6. The first position in memory is the last where there is any state: `seq_pos_min` tells nothing here.
"""

import itertools

import numpy as np
import pytest

from tests.llama.native import NativeContext, Opener, Rows, Run, alone, same, text

STATEFUL = ["mamba", "lfm2"]


@pytest.mark.parametrize("architecture", STATEFUL)
def test_a_part_cannot_be_removed_and_nothing_changes(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source, tail = text(1, 40), text(2, 5)
    context.compute(Run(0, 0, source))
    for start, end in ((10, -1), (39, -1), (1, 40)):
        assert not context.remove(0, start, end)
    assert context.remove(0, 40, -1)
    assert same(context.compute(Run(0, 40, tail)), alone(opened, architecture, source + tail))
    assert context.remove(0, 0, -1)
    assert context.positions(0) == (-1, -1)
    assert same(context.compute(Run(0, 0, tail)), alone(opened, architecture, tail))


@pytest.mark.parametrize("architecture", STATEFUL)
def test_the_first_position_is_the_last(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    context.compute(Run(0, 0, text(1, 40)))
    assert context.positions(0) == (39, 39)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("architecture", STATEFUL)
def test_whole_copies_and_their_source_all_continue(
    opened: Opener, architecture: str, together: bool
) -> None:
    context = opened(architecture)
    source = text(1, 40)
    context.compute(Run(3, 0, source))
    for target in (6, 0, 5):
        context.copy(3, target)
        assert context.positions(target)[1] == 39
    tails = {seq_id: text(seq_id, 1 + seq_id) for seq_id in (0, 3, 5, 6)}
    runs = [Run(seq_id, 40, tails[seq_id]) for seq_id in (5, 3, 0, 6)]
    rows = context.compute(*runs) if together else np.concatenate([context.compute(run) for run in runs])
    for row, run in zip(rows, runs, strict=True):
        assert same(row, alone(opened, architecture, source + tails[run.seq_id]))


@pytest.mark.parametrize("architecture", STATEFUL)
def test_random_copies_removals_and_continuations(opened: Opener, architecture: str) -> None:
    """Every sequence always continues like computing it alone."""
    rng = np.random.default_rng(7)
    context = opened(architecture, n_ctx=1024)
    known: dict[int, list[int]] = {}
    rows: dict[int, Rows] = {}
    for round_number in range(40):
        chosen = rng.permutation(8)[:4].tolist()
        for seq_id in chosen:
            choice = rng.integers(4)
            if choice == 0 and known.pop(seq_id, None) is not None:
                assert context.remove(seq_id)
            elif choice == 1 and known and seq_id not in known:
                source = int(rng.choice(sorted(known)))
                context.copy(source, seq_id)
                known[seq_id] = list(known[source])
        tails = {seq_id: text(100 * round_number + seq_id, int(rng.integers(1, 6))) for seq_id in chosen}
        runs = [Run(seq_id, len(known.get(seq_id, [])), tails[seq_id]) for seq_id in chosen]
        rows |= dict(zip(chosen, context.compute(*runs), strict=True))
        known |= {seq_id: known.get(seq_id, []) + tails[seq_id] for seq_id in chosen}
    for seq_id, token_ids in known.items():
        assert same(rows[seq_id], alone(opened, architecture, token_ids))


@pytest.mark.parametrize("architecture", STATEFUL)
def test_a_partial_copy_goes_wrong_in_silence(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source = text(1, 40)
    context.compute(Run(0, 0, source))
    context.copy(0, 1, 30)
    start = context.positions(1)[1] + 1
    assert start == (40 if architecture == "mamba" else 30)
    rows = context.compute(Run(1, start, [5]))
    assert not same(rows, alone(opened, architecture, [*source[:30], 5]))


@pytest.mark.parametrize("architecture", STATEFUL)
def test_a_copy_onto_a_filled_sequence(opened: Opener, architecture: str) -> None:
    context = opened(architecture)
    source = text(1, 40)
    context.compute(Run(0, 0, source))
    context.compute(Run(1, 0, text(2, 33)))
    context.copy(0, 1)
    rows = context.compute(Run(1, 40, [5]))
    assert same(rows, alone(opened, architecture, [*source, 5])) == (architecture == "mamba")


def test_state_alone_always_has_room(opened: Opener) -> None:
    context = opened("mamba")
    source = text(1, 800)
    for start in range(0, 800, 200):
        for seq_id in range(8):
            rows = context.compute(Run(seq_id, start, source[start : start + 200]))
    assert same(rows, _computed_in_pieces(opened("mamba"), source))


def _computed_in_pieces(context: NativeContext, token_ids: list[int]) -> Rows:
    for start, end in itertools.pairwise([*range(0, len(token_ids), 100), len(token_ids)]):
        rows = context.compute(Run(0, start, token_ids[start:end]))
    return rows
