"""Rows of tokens that stand: all of them are taken in their order, and few in one step."""

import numpy as np
import pytest
from caravan.engine.output.replay import Replay
from caravan.engine.sampling.candidates import Floats

NUM_TOKENS, NUM_STANDING = 60, 45


@pytest.mark.parametrize("num_rows", [1, 7, 64])
def test_no_step_takes_many_rows(num_rows: int) -> None:
    """Each is a draw's work, for which all streams of the step wait."""
    followed: list[tuple[float, int]] = []

    def follow(row: Floats, token_id: int) -> None:
        followed.append((float(row[0]), token_id))

    replay = Replay(range(NUM_TOKENS), NUM_STANDING, follow)
    ids = np.arange(1, dtype=np.int32)
    start, taken = 0, []
    while not replay.is_complete:
        fitting = replay.num_fitting(start, num_rows)
        count = NUM_TOKENS - start if fitting is None else fitting
        assert count > 0
        rows = np.arange(start, start + count, dtype=np.float32)[:, None]
        wanted = replay.num_rows(start, count)
        taken.append(wanted)
        if wanted:
            last = min(start + count, NUM_TOKENS - 1)
            replay.take(rows[last - wanted - start : last - start], ids)
        start += count
    # The row of each token is that of the place before it.
    first = NUM_TOKENS - NUM_STANDING
    assert followed == [(token - 1, token) for token in range(first, NUM_TOKENS)]
    assert max(taken) <= min(num_rows, 16)
