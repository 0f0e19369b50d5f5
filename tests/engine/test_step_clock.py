"""The budget follows what steps really cost."""

from server.engine.step_clock import StepClock


def test_the_budget_fits_the_time_left_beside_the_decodes() -> None:
    clock = StepClock(0.1)
    for _ in range(50):
        clock.observe(0, 0.02)
        clock.observe(100, 0.02 + 100 * 0.001)
    assert 75 <= clock.prompt_budget() <= 85


def test_prompts_move_on_even_where_a_decode_alone_takes_too_long() -> None:
    clock = StepClock(0.1)
    for _ in range(50):
        clock.observe(0, 0.5)
        clock.observe(64, 1.5)
    assert clock.prompt_budget() > 0


def test_a_few_prompt_tokens_teach_nothing() -> None:
    clock = StepClock(0.1)
    before = clock.prompt_budget()
    clock.observe(3, 5.0)
    assert clock.prompt_budget() == before
