"""What llama.cpp's partial states (`LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY`) bring back, with unified cells.

1. They hold what cells cannot be cut to: a recurrent state, or the cells in a sliding window. One that was
   taken of a sequence at position p makes another sequence right that shares the first p cells: first
   `seq_cp`, which brings the donor's present state along, then the partial state in its place.
2. The donor may have gone on by then, or be gone. It is right afterwards, and so is whoever begins in the
   same way later.
3. The sequence itself can be taken back: the partial state first, then `seq_rm` of what comes after p.
4. With nothing but a state (Mamba), no donor is needed.
5. The size depends on the model alone for recurrent states, and on the window for cells.
6. Cells of a window are own ones after that. So those of all sequences fit into what `swa_full` off leaves,
   the window of each and a batch, whoever shares how long a prefix. Shared by `seq_cp` alone they would not.
"""

import pytest

from tests.llama.native import NativeContext, Opener, Rows, Run, alone, same, text
from tests.tiny_model import SLIDING_WINDOW

PARTIAL = 1
LENGTH = 40
KINDS = ["lfm2", "mamba", "gemma3"]


def opened_with(opened: Opener, architecture: str, **changes: int) -> NativeContext:
    return opened(architecture, swa_full=False, **changes)


def begin_at(context: NativeContext, donor: int, target: int, length: int, state: bytes) -> None:
    context.copy(donor, target, length)
    assert context.restore(target, state, PARTIAL)


@pytest.mark.parametrize("architecture", KINDS)
def test_others_go_on_from_where_a_sequence_was(opened: Opener, architecture: str) -> None:
    context = opened_with(opened, architecture)
    source, rest, own = text(1, LENGTH), text(2, 30), text(3, 12)
    context.compute(Run(0, 0, source))
    state = context.save(0, PARTIAL)
    context.compute(Run(0, LENGTH, rest))
    begin_at(context, 0, 3, LENGTH, state)
    expected = alone(opened, architecture, source + own)
    assert same(context.compute(Run(3, LENGTH, own)), expected)
    assert same(context.compute(Run(0, LENGTH + 30, own)), alone(opened, architecture, source + rest + own))
    # Once more, side by side in one batch with those two.
    begin_at(context, 0, 5, LENGTH, state)
    rows = context.compute(Run(5, LENGTH, own), Run(3, LENGTH + 12, [7]), Run(0, LENGTH + 42, [7]))
    assert same(rows[0], expected[0])
    assert same(rows[1], alone(opened, architecture, [*source, *own, 7])[0])
    assert same(rows[2], alone(opened, architecture, [*source, *rest, *own, 7])[0])


@pytest.mark.parametrize("architecture", KINDS)
def test_a_donor_that_is_gone_leaves_its_cells_to_whoever_shares_them(
    opened: Opener, architecture: str
) -> None:
    context = opened_with(opened, architecture)
    source, own = text(1, LENGTH), text(3, 12)
    context.compute(Run(0, 0, source))
    state = context.save(0, PARTIAL)
    context.compute(Run(0, LENGTH, text(2, 30)))
    begin_at(context, 0, 3, LENGTH, state)
    assert context.remove(0)
    context.compute(Run(0, 0, text(9, 50)))
    begin_at(context, 3, 4, LENGTH, state)
    for seq_id in (4, 3):
        rows = context.compute(Run(seq_id, LENGTH, own))
        assert same(rows, alone(opened, architecture, source + own))


@pytest.mark.parametrize("architecture", KINDS)
def test_a_sequence_is_taken_back(opened: Opener, architecture: str) -> None:
    context = opened_with(opened, architecture)
    source, own = text(1, LENGTH), text(3, 12)
    context.compute(Run(0, 0, source))
    state = context.save(0, PARTIAL)
    context.compute(Run(0, LENGTH, text(2, 70)))
    assert context.restore(0, state, PARTIAL)
    assert context.remove(0, LENGTH)
    assert context.positions(0)[1] == LENGTH - 1
    assert same(context.compute(Run(0, LENGTH, own)), alone(opened, architecture, source + own))
    # The cells are free again: with those of the own tokens, so many are left.
    if architecture == "lfm2":
        assert context.decode(Run(1, 0, text(4, 256 - LENGTH - 12))) == 0
        assert context.decode(Run(1, 256 - LENGTH - 12, [1])) == 1


def test_a_state_alone_needs_no_donor(opened: Opener) -> None:
    context = opened("mamba")
    source, own = text(1, LENGTH), text(3, 12)
    context.compute(Run(0, 0, source))
    state = context.save(0, PARTIAL)
    assert context.remove(0)
    assert context.restore(6, state, PARTIAL)
    assert same(context.compute(Run(6, LENGTH, own)), alone(opened, "mamba", source + own))


@pytest.mark.parametrize(("architecture", "num_bytes"), [("lfm2", 1612), ("mamba", 11340), ("gemma3", 8456)])
def test_how_large_they_are(opened: Opener, architecture: str, num_bytes: int) -> None:
    context = opened_with(opened, architecture)
    for length in (SLIDING_WINDOW, 30, 200):
        context.remove(0)
        context.compute(Run(0, 0, text(1, length)))
        assert len(context.save(0, PARTIAL)) == num_bytes


def test_windows_of_all_sequences_fit_whatever_they_share(opened: Opener) -> None:
    """Eight sequences of 900 shared tokens, in a window's cache of 256 cells."""
    context = opened_with(opened, "gemma3", n_ctx=2048, n_batch=64, n_ubatch=64)
    source = text(1, 900)
    for start in range(0, 900, 60):
        context.compute(Run(0, start, source[start : start + 60]))
    state = context.save(0, PARTIAL)
    for target in range(1, 8):
        begin_at(context, 0, target, 900, state)
    runs = [Run(seq_id, 900, text(seq_id, 8)) for seq_id in range(8)]
    rows = context.compute(*runs)
    for row, run in zip(rows, runs, strict=True):
        whole = [*source, *run.token_ids]
        assert same(row, alone_in_pieces(opened, whole))
    # All go on for more than a window, each as it likes.
    for round_number in range(3):
        runs = [Run(seq_id, 908 + 7 * round_number, [1, 2, 3, 4, 5, 6, 7]) for seq_id in range(8)]
        context.compute(*runs)


def alone_in_pieces(opened: Opener, token_ids: list[int]) -> Rows:
    context = opened("gemma3", n_ctx=2048)
    for start in range(0, len(token_ids), 200):
        rows = context.compute(Run(0, start, token_ids[start : start + 200]))
    return rows


def test_shared_windows_alone_would_fill_up(opened: Opener) -> None:
    context = opened_with(opened, "gemma3", n_ctx=2048, n_batch=64, n_ubatch=64)
    source = text(1, 240)
    for start in range(0, 240, 60):
        context.compute(Run(0, start, source[start : start + 60]))
    context.copy(0, 1, 240)
    assert context.decode(Run(2, 0, text(2, 60))) == 1
    # An own window sets the rest free.
    assert context.restore(1, context.save(1, PARTIAL), PARTIAL)
    assert context.decode(Run(2, 0, text(2, 60))) == 0
