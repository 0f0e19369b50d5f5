"""What a replica has to do, and how many replicas that is work for."""

import pytest
from caravan.ray_serve.work import WorkMeter, wanted_replicas

from tests.clock import Clock


def test_speed_counts_the_time_in_which_prompts_waited() -> None:
    clock = Clock()
    meter = WorkMeter(clock)
    meter.begin("a", 100, 1)
    clock.now += 1
    meter.begin("b", 300, 2)
    assert (meter.waiting_tokens, meter.num_running) == (400, 0)
    clock.now += 1
    meter.first_token("a", 100)
    meter.first_token("a", 100)
    assert (meter.waiting_tokens, meter.num_running) == (300, 1)
    clock.now += 2
    meter.first_token("b", 300)
    assert (meter.waiting_tokens, meter.num_running) == (0, 3)
    clock.now += 1000
    assert meter.tokens_per_second == 100
    meter.end("a")
    meter.end("b")
    meter.end("b")
    assert meter.num_running == 0


def test_what_was_long_ago_counts_for_less() -> None:
    clock = Clock()
    meter = WorkMeter(clock)
    for number in range(200):
        meter.begin(f"{number}", 100, 1)
        clock.now += 10 if number < 5 else 1
        meter.first_token(f"{number}", 100)
    assert meter.tokens_per_second == pytest.approx(100, rel=0.05)


def work(**changes: float) -> int | None:
    usual = {
        "waiting_tokens": 0,
        "num_running": 0,
        "tokens_per_second": 100,
        "first_token_seconds": 2,
        "max_running": 4,
    }
    return wanted_replicas(**(usual | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 0),
        ({"num_running": 4}, 1),
        ({"num_running": 5}, 2),
        ({"waiting_tokens": 1}, 1),
        ({"waiting_tokens": 200}, 1),
        ({"waiting_tokens": 201}, 2),
        ({"waiting_tokens": 100_000}, 500),
        ({"waiting_tokens": 201, "num_running": 13}, 4),
        ({"waiting_tokens": 201, "tokens_per_second": 0}, None),
    ],
    ids=str,
)
def test_replicas_are_as_many_as_there_is_work_for(changes: dict[str, float], wanted: int | None) -> None:
    assert work(**changes) == wanted
