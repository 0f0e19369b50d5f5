"""What steps take, as far as it is known."""

import math

import pytest
from caravan.engine.drafts.row_clock import RowClock

from tests.clock import Clock


def test_nothing_is_known_of_fewer_rows_than_were_measured() -> None:
    clock = RowClock()
    assert clock.curve(1, 4) is None
    clock.observe(3, 0.03)
    assert clock.curve(2, 4) is None
    assert clock.curve(3, 3) == [0.03]


def test_between_sizes_there_is_a_line() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(5, 0.018)
    assert clock.curve(1, 5) == pytest.approx([0.010, 0.012, 0.014, 0.016, 0.018])


def test_a_few_rows_are_tried_where_nothing_is_known_of_more() -> None:
    clock = RowClock()
    clock.observe(2, 0.010)
    curve = clock.curve(2, 9)
    assert curve is not None
    assert curve[:4] == pytest.approx([0.010, 0.01075, 0.0115, 0.01225])
    assert curve[4:] == [math.inf] * 4


def test_beyond_the_largest_step_rows_take_what_they_took_and_twice_as_many_are_tried() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(4, 0.013)
    curve = clock.curve(1, 9)
    assert curve == pytest.approx([0.010, 0.011, 0.012, 0.013, 0.014, 0.015, 0.016, 0.017, math.inf])


def test_a_group_of_rows_that_is_not_full_says_little_of_larger_ones() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(2, 0.019)
    assert clock.curve(1, 4) == pytest.approx([0.010, 0.019, 0.024, 0.029])


def test_a_slower_step_counts_for_less_than_a_quicker_one() -> None:
    clock = RowClock()
    clock.observe(1, 0.010)
    clock.observe(1, 0.020)
    slower = clock.curve(1, 1)
    clock.observe(1, 0.010)
    quicker = clock.curve(1, 1)
    assert slower is not None
    assert quicker is not None
    assert slower[0] == pytest.approx(0.012)
    assert quicker[0] == pytest.approx(0.0108)


def test_what_is_old_is_forgotten() -> None:
    now = Clock()
    clock = RowClock(now)
    clock.observe(1, 0.010)
    now.now += 60
    assert clock.curve(1, 2) is None
