"""The budget follows what steps really cost."""

from collections.abc import Callable

from caravan.engine.prefill_budget import PrefillBudget


def settle(clock: PrefillBudget, cost: Callable[[int], float], steps: int = 30) -> int:
    """The budget after so many steps that used it."""
    for _ in range(steps):
        budget = clock.prompt_budget()
        clock.observe(budget, cost(budget))
    return clock.prompt_budget()


def test_the_budget_is_the_largest_that_keeps_the_pace() -> None:
    assert settle(PrefillBudget(0.2), lambda n: 0.03 + n * 0.0015) == 96
    assert settle(PrefillBudget(0.2), lambda n: 0.03 + n * 0.00001) == 2048
    assert settle(PrefillBudget(0.2), lambda n: 0.03 + n * 0.02) == 16


def test_economies_of_scale_are_found() -> None:
    """Small chunks cost four times as much a token; from the small end it still gets to the large one."""
    clock = PrefillBudget(0.2)
    clock.observe(16, 0.1)
    assert settle(clock, lambda n: 0.03 + n * (0.004 if n < 64 else 0.001)) == 160


def test_a_small_step_that_was_quick_says_little_of_large_ones() -> None:
    """As of prompts that have just begun, beside the end of a long one."""
    clock = PrefillBudget(0.2)
    clock.observe(64, 0.06)
    sizes = []
    for _ in range(8):
        sizes.append(clock.prompt_budget())
        clock.observe(sizes[-1], 0.02 + sizes[-1] * 0.0015)
    assert sizes[0] == 128
    assert max(0.02 + size * 0.0015 for size in sizes) < 0.25


def test_steps_that_take_longer_and_longer_are_noticed_soon() -> None:
    clock = PrefillBudget(0.2)
    late = 0
    for number in range(40):
        size = clock.prompt_budget()
        seconds = size * (0.001 + 0.00005 * number)
        late += seconds > 0.25
        clock.observe(size, seconds)
    assert not late


def test_a_tile_is_kept_together_though_it_takes_longer_than_the_pace() -> None:

    def cost(num_rows: int) -> float:
        return num_rows * (0.0095 if num_rows < 64 else 0.0055)

    assert settle(PrefillBudget(0.2, has_tiles=True), cost) == 64
    assert settle(PrefillBudget(0.2), cost) == 16


def test_decodes_are_rows_of_the_tile() -> None:
    assert PrefillBudget(0.2).prompt_budget(4) == 60
    assert PrefillBudget(0.2).prompt_budget(64) > 0


def test_prompts_move_on_even_where_a_decode_alone_takes_too_long() -> None:
    assert settle(PrefillBudget(0.1), lambda n: 0.5 + n * 0.01) == 16


def test_a_bad_moment_is_forgotten() -> None:
    seconds = [0.0]
    clock = PrefillBudget(0.2, now=lambda: seconds[0])
    for size in (16, 64, 128, 256):
        clock.observe(size, 5.0)
    assert clock.prompt_budget() == 16
    seconds[0] = 60.0
    assert settle(clock, lambda n: 0.03 + n * 0.001) == 160


def test_a_few_prompt_tokens_teach_nothing() -> None:
    clock = PrefillBudget(0.1)
    before = clock.prompt_budget()
    clock.observe(3, 5.0)
    assert clock.prompt_budget() == before
