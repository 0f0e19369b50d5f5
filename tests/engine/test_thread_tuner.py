"""Which number of threads is found, and what looking for it costs, with steps whose times are given."""

import random
from collections.abc import Callable

import pytest
from caravan.config.engine_config import EngineConfig
from caravan.engine.drafts.draft_model import DraftModel
from caravan.engine.thread_tuner import StepThreads, ThreadTuner

from tests.fakes import FakeContext

Cost = Callable[[int, int], float]


def shared(cores: float, seconds: float = 0.02) -> Cost:
    """Steps of which a tenth cannot be split, on so many processors: more threads wait for each other."""

    def cost(num_threads: int, num_rows: int) -> float:
        alone: float = 0.1 + 0.9 / min(num_threads, cores)
        return (
            seconds
            * float(num_rows**0.5)
            * alone
            * (1.5 * num_threads / cores if num_threads > cores else 1.0)
        )

    return cost


def bound_by_memory(num_threads: int, num_rows: int) -> float:
    """Steps for which one thread is enough, and more have to be waited for."""
    return 0.002 * float(num_rows**0.2) * (1 + 0.1 * num_threads)


def passed(
    tuner: ThreadTuner, cost: Cost, seconds: float, rows: Callable[[], int] = lambda: 1, most: int = 16
) -> float:
    """Compute for so long; how many times as long as with the best of up to `most` threads it took."""
    best = spent = 0.0
    while spent < seconds:
        num_rows = rows()
        took = cost(tuner.num_threads, num_rows)
        best += min(cost(number, num_rows) for number in range(1, most + 1))
        spent += took
        tuner.observe(num_rows, took)
    return spent / best


def noisy(cost: Cost, seed: int, rare: float = 0.02) -> Cost:
    rng = random.Random(seed)
    return lambda threads, rows: (
        cost(threads, rows) * rng.uniform(0.9, 1.1) * (3 if rng.random() < rare else 1)
    )


@pytest.mark.parametrize("most", [1, 2, 3, 4, 6, 8, 16])
@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16])
def test_as_many_threads_as_there_are_processors_are_found(most: int, cores: int) -> None:
    tuner = ThreadTuner(most)
    passed(tuner, shared(cores), 20.0)
    assert passed(tuner, shared(cores), 60.0, most=most) < 1.1


def test_looking_for_fewer_costs_little_where_all_are_best() -> None:
    tuner = ThreadTuner(2)
    assert passed(tuner, shared(2), 1.0, most=2) < 1.25
    assert passed(tuner, shared(2), 60.0, most=2) < 1.02
    assert tuner.num_threads == 2


def test_one_thread_is_found_where_memory_is_the_limit() -> None:
    tuner = ThreadTuner(8)
    passed(tuner, bound_by_memory, 10.0)
    assert passed(tuner, bound_by_memory, 60.0) < 1.1


@pytest.mark.parametrize("seed", range(20))
def test_neighbours_that_come_and_go_are_noticed(seed: int) -> None:
    tuner = ThreadTuner(2)
    quiet, busy = noisy(shared(2), seed), noisy(shared(1), seed)
    passed(tuner, quiet, 30.0)
    passed(tuner, busy, 3.0)
    assert sum(number_used(tuner, busy, 5.0)[2:]) == 0
    passed(tuner, quiet, 3.0)
    fewer, both = number_used(tuner, quiet, 5.0)[1:3]
    assert both > 10 * fewer


def number_used(tuner: ThreadTuner, cost: Cost, seconds: float) -> list[float]:
    """For how long each number of threads was the usual one."""
    used, spent = [0.0] * 17, 0.0
    while spent < seconds:
        usual = tuner.num_threads if not tuner.is_trying else 0
        took = cost(tuner.num_threads, 1)
        used[usual] += took
        spent += took
        tuner.observe(1, took)
    return used


def test_no_more_threads_are_tried_while_others_use_the_processor() -> None:
    tuner = ThreadTuner(2)
    passed(tuner, shared(1), 5.0)
    assert tuner.num_threads == 1
    for step in range(5000):
        tuner.observe(1, 0.03, 0.01)
        assert tuner.num_threads == 1, step
    passed(tuner, shared(2), 5.0)
    assert tuner.num_threads == 2


@pytest.mark.parametrize("seed", range(10))
def test_steps_of_many_numbers_of_rows_are_compared_with_their_like(seed: int) -> None:
    rng = random.Random(seed)
    tuner = ThreadTuner(4)
    passed(tuner, noisy(shared(2), seed), 20.0, lambda: rng.choice([1, 2, 3, 5, 8, 64, 100, 500]))
    assert sum(number_used(tuner, noisy(shared(2), seed), 5.0)[3:]) == 0


def test_prompts_take_all_threads_unless_others_use_the_processors() -> None:
    tuner = ThreadTuner(2, is_limited_by_arithmetic=True)
    for _ in range(500):
        assert tuner.num_threads == 2
        tuner.observe(256, shared(2)(2, 256))
    for _ in range(500):
        took = shared(1)(tuner.num_threads, 256)
        tuner.observe(256, took, 0.4 * took)
    assert tuner.num_threads == 1
    passed(tuner, shared(2), 20.0, lambda: 256)
    assert tuner.num_threads == 2


def test_prompts_and_answers_have_numbers_of_their_own() -> None:
    context = FakeContext()
    threads = StepThreads(context, EngineConfig(model_path="", num_threads=2, adapts_threads=True))
    now = 0.0
    for step in range(4000):
        is_prompt = step % 20 == 0
        threads.begin(has_prompts=is_prompt)
        number = context.num_threads[-1] if context.num_threads else 2
        took = shared(2)(number, 64) if is_prompt else bound_by_memory(number, 1)
        threads.end(64 if is_prompt else 1, now, now + took, is_done=True)
        now += took
    threads.begin(has_prompts=True)
    assert context.num_threads[-1] == 2
    threads.begin(has_prompts=False)
    assert context.num_threads[-1] == 1


def test_a_draft_model_computes_with_as_many_threads_as_steps() -> None:
    context, own = FakeContext(), FakeContext()
    guesses = DraftModel(own, 16, frozenset(), step_seconds=1.0)
    config = EngineConfig(model_path="", num_threads=2, adapts_threads=True)
    threads = StepThreads(context, config, guesses)
    for now in range(500):
        threads.begin(has_prompts=False)
        took = shared(1)(context.num_threads[-1] if context.num_threads else 2, 1)
        threads.end(1, float(now), now + took, is_done=True)
    assert own.num_threads == context.num_threads
    assert own.num_threads[-1] == 1


def test_nothing_is_changed_where_that_is_not_wanted() -> None:
    context = FakeContext()
    threads = StepThreads(context, EngineConfig(model_path="", num_threads=4))
    for now in range(500):
        assert threads.begin(has_prompts=now % 2 == 0)
        threads.end(1, float(now), now + 0.5, is_done=True)
    assert context.num_threads == []
