"""What steps take, as far as it is known."""

import pytest
from caravan.engine.drafts.row_clock import RowClock

from tests.clock import Clock


def test_nothing_is_known_of_fewer_rows_than_were_measured() -> None:
    clock = RowClock()
    assert clock.curve(1, 4) is None
    clock.observe(3, 0.03)
    assert clock.curve(2, 4) is None
    assert clock.curve(3, 3) == [0.03]


def test_between_sizes_there_is_a_line_and_beyond_them_hope() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(5, 0.018)
    curve = clock.curve(1, 7)
    assert curve is not None
    assert curve[:5] == pytest.approx([0.010, 0.012, 0.014, 0.016, 0.018])
    assert 0.018 < curve[5] < curve[6] < 0.022


def test_a_slower_step_counts_for_less_than_a_quicker_one() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(1, 0.020)
    slower = clock.curve(1, 1)
    clock.observe(1, 0.010)
    quicker = clock.curve(1, 1)
    assert slower is not None
    assert quicker is not None
    assert slower[0] == pytest.approx(0.015)
    assert quicker[0] < 0.012


def test_what_is_old_is_forgotten() -> None:
    now = Clock()
    clock = RowClock(now)
    clock.observe(1, 0.010)
    now.now += 60
    assert clock.curve(1, 2) is None
