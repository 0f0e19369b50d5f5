"""Limits per minute and at once, on a clock of the test's own."""

from collections.abc import Callable
from functools import partial

import pytest
from caravan.auth.keys_file import Key
from caravan.auth.rate_limit import Admission, Quotas
from caravan.errors import RateLimitError

from tests.clock import Clock


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(clock)


def key(**limits: int) -> Key:
    return Key.model_validate({"name": "alice", "hash": "0" * 64, **limits})


def refusal(enter: Callable[[], Admission]) -> tuple[str | None, int | None]:
    with pytest.raises(RateLimitError) as caught:
        enter()
    return caught.value.code, caught.value.retry_after


def test_requests_per_minute(quotas: Quotas, clock: Clock) -> None:
    limited = key(requests_per_minute=3)
    for _ in range(3):
        quotas.enter(limited).leave(0)
    assert refusal(lambda: quotas.enter(limited)) == ("rate_limit_exceeded", 20)
    clock.now += 19
    assert refusal(lambda: quotas.enter(limited)) == ("rate_limit_exceeded", 1)
    clock.now += 1
    quotas.enter(limited).leave(0)


def test_tokens_are_counted_at_the_end_and_paid_back_by_waiting(quotas: Quotas, clock: Clock) -> None:
    limited = key(tokens_per_minute=60)
    quotas.enter(limited).leave(100)
    assert refusal(lambda: quotas.enter(limited)) == ("rate_limit_exceeded", 41)
    clock.now += 41
    quotas.enter(limited).leave(1)
    assert refusal(lambda: quotas.enter(limited)) == ("rate_limit_exceeded", 1)


def test_a_burst_reserves_what_it_may_come_to(quotas: Quotas) -> None:
    limited = key(tokens_per_minute=1000)
    burst = [quotas.enter(limited) for _ in range(40)]
    burst[0].reserve(400)
    burst[1].reserve(400)
    assert refusal(lambda: reserved(burst[2], 400)) == ("rate_limit_exceeded", 12)
    burst[2].reserve(200)
    for admission in burst[3:]:
        refusal(partial(reserved, admission, 1))
    assert burst[0].headers()["x-ratelimit-remaining-tokens"] == "0"


def reserved(admission: Admission, num_tokens: int) -> Admission:
    admission.reserve(num_tokens)
    return admission


def test_what_was_not_used_is_given_back(quotas: Quotas) -> None:
    limited = key(tokens_per_minute=1000)
    first, second = quotas.enter(limited), quotas.enter(limited)
    first.reserve(900)
    first.leave(100)
    second.reserve(900)
    second.leave(0)
    assert second.headers()["x-ratelimit-remaining-tokens"] == "900"


def test_what_goes_beyond_the_reserve_is_taken_as_it_comes(quotas: Quotas) -> None:
    limited = key(tokens_per_minute=1000)
    first, second = quotas.enter(limited), quotas.enter(limited)
    first.reserve(300)
    first.spend(200)
    assert first.headers()["x-ratelimit-remaining-tokens"] == "700"
    first.spend(950)
    refusal(lambda: reserved(second, 51))
    second.reserve(50)
    first.leave(990)
    second.leave(50)
    assert first.headers()["x-ratelimit-remaining-tokens"] == "0"


def test_a_request_alone_is_never_too_large(quotas: Quotas, clock: Clock) -> None:
    limited = key(tokens_per_minute=60)
    first, second = quotas.enter(limited), quotas.enter(limited)
    first.reserve(100)
    assert refusal(lambda: reserved(second, 100)) == ("rate_limit_exceeded", 100)
    first.leave(100)
    assert refusal(lambda: reserved(second, 100))[0] == "rate_limit_exceeded"
    clock.now += 41
    second.reserve(100)


def test_requests_at_once(quotas: Quotas) -> None:
    limited = key(concurrent_requests=2)
    first, _second = quotas.enter(limited), quotas.enter(limited)
    assert refusal(lambda: quotas.enter(limited)) == ("concurrency_limit_exceeded", 1)
    first.leave(0)
    quotas.enter(limited)


def test_headers_have_openais_names_and_durations(quotas: Quotas, clock: Clock) -> None:
    limited = key(requests_per_minute=60, tokens_per_minute=600)
    quotas.enter(limited).leave(305)
    clock.now += 0.75
    assert quotas.enter(limited).headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "58",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "302",
        "x-ratelimit-reset-tokens": "30s",
    }


def test_changed_limits_hold_at_once(quotas: Quotas) -> None:
    quotas.enter(key(requests_per_minute=1)).leave(0)
    assert refusal(lambda: quotas.enter(key(requests_per_minute=1)))[0] == "rate_limit_exceeded"
    quotas.enter(key(requests_per_minute=2)).leave(0)
    assert not quotas.enter(key()).headers()


def test_work_in_the_background_leaves_half_and_is_not_counted_as_running(quotas: Quotas) -> None:
    limited = key(requests_per_minute=4, concurrent_requests=1)
    beneath = [quotas.enter(limited, is_background=True) for _ in range(3)]
    assert refusal(lambda: quotas.enter(limited, is_background=True)) == ("rate_limit_exceeded", 15)
    live = quotas.enter(limited)
    for admission in beneath:
        admission.leave(0)
    assert refusal(lambda: quotas.enter(limited)) == ("concurrency_limit_exceeded", 1)
    live.leave(0)
