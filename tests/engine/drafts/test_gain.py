"""How much a draft model is to guess."""

from caravan.engine.drafts.chain import Acceptance
from caravan.engine.drafts.gain import ModelPace

FLAT = [0.1] * 65
STEEP = [0.1 * (count + 1) for count in range(65)]


def _of_rate(share: float) -> Acceptance:
    acceptance = Acceptance()
    for _ in range(100):
        acceptance.observe(1000, round(1000 * share))
    return acceptance


def test_a_quick_model_that_is_right_guesses_all_that_may_be() -> None:
    assert ModelPace().num_worth(_of_rate(1.0), 8, FLAT, 0.001) == 8


def test_one_that_takes_as_long_as_the_large_one_guesses_nothing() -> None:
    assert ModelPace().num_worth(_of_rate(1.0), 8, FLAT, 0.1) == 0


def test_nothing_is_guessed_where_each_row_costs_a_step() -> None:
    assert ModelPace().num_worth(_of_rate(1.0), 8, STEEP, 0.0) == 0


def test_the_less_time_it_takes_the_more_it_guesses() -> None:
    acceptance = Acceptance()
    found = [ModelPace().num_worth(acceptance, 8, FLAT, seconds) for seconds in (0.08, 0.03, 0.01, 0.001)]
    assert found == sorted(set(found))
    assert found[0] == 0


def test_one_that_was_not_worth_it_is_tried_again_now_and_then() -> None:
    pace, acceptance = ModelPace(), _of_rate(0.0)
    found = [pace.num_worth(acceptance, 8, FLAT, 0.05) for _ in range(640)]
    assert found.count(2) == 10
    assert set(found) == {0, 2}


def test_nothing_is_guessed_before_steps_are_known() -> None:
    assert ModelPace().num_worth(_of_rate(1.0), 8, None, None) == 0
