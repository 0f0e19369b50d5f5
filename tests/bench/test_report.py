"""Numbers, ratios and tables."""

import pytest

from tests.bench import report, workloads
from tests.bench.measures import Measures, measure, median_difference, median_ratio, percentile
from tests.bench.plan import Exchange, Outcome
from tests.bench.report import Results, WorkloadResults, number, table
from tests.bench.scripts import Scale
from tests.bench.targets import How, Target, judge


def exchange(group: str, sent: float, times: list[float], error: str = "") -> Exchange:
    return Exchange(
        group=group,
        sent=sent,
        times=times,
        ended=times[-1] if times else sent,
        num_prompt_tokens=10,
        num_completion_tokens=len(times),
        error=error,
    )


def test_percentiles_interpolate() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([1, 2], 0.95) == pytest.approx(1.95)
    assert percentile([], 0.5) is None


def test_a_run_is_measured_by_its_groups() -> None:
    outcome = Outcome(
        exchanges=[
            exchange("streams", 0.0, [1.0, 1.5, 3.0]),
            exchange("newcomers", 1.0, [1.2, 5.0]),
            exchange("newcomers", 2.0, [], error="status 503"),
        ],
        seconds=5.0,
        client_cpu_seconds=0.5,
    )
    found = measure(outcome, ttft_group="newcomers", gap_group="streams")
    assert (found.tokens_per_second, found.gap_max) == (1.0, 1.5)
    assert found.ttft_p50 == pytest.approx(0.2)
    assert (found.num_errors, found.first_error, found.client_cpu_share) == (1, "status 503", 0.1)
    assert measure(outcome).gap_max == pytest.approx(3.8)


def test_ratios_are_taken_pair_by_pair() -> None:
    ours = [Measures(tokens_per_second=value) for value in (10, 40, 90)]
    theirs = [Measures(tokens_per_second=value) for value in (10, 20, 30)]
    assert median_ratio(ours, theirs, "tokens_per_second") == 2
    assert median_difference(ours, theirs, "tokens_per_second") == 20
    assert median_ratio(ours, [], "tokens_per_second") is None


@pytest.mark.parametrize(
    ("target", "reached", "holds"),
    [
        (Target("tokens_per_second", How.RATIO, 2.0, at_least=True), 3.0, True),
        (Target("tokens_per_second", How.TO_RAW, 0.8, at_least=True), 0.75, False),
        (Target("gap_max", How.VALUE, 0.3), 0.3, True),
        (Target("resident_bytes", How.DIFFERENCE, 100), 200, False),
        (Target("ttft_p95", How.RATIO, 0.2), None, None),
        (Target("tokens_per_second", How.TO_PLAIN, 0.9, at_least=True), 0.75, False),
        (Target("gap_max", How.OVER_PLAIN, 0.11), pytest.approx(0.1), True),
    ],
)
def test_targets_are_judged(target: Target, reached: float | None, holds: bool | None) -> None:
    ours = [Measures(tokens_per_second=300, gap_max=0.3, resident_bytes=1200)]
    theirs = [Measures(tokens_per_second=100, resident_bytes=1000)]
    plain = [Measures(tokens_per_second=400, gap_max=0.2)]
    verdict = judge(target, {"ours": ours, "theirs": theirs}, "ours", "theirs", 400, plain)
    assert (verdict.reached, verdict.holds) == (reached, holds)


def test_numbers_keep_three_digits() -> None:
    numbers = [number(value) for value in (12345.6, 123.4, 12.34, 0.1234, 0.0, None)]
    assert numbers == ["12,346", "123", "12.3", "0.123", "0.000", "–"]


def test_a_report_names_every_server_and_target() -> None:
    runs = {name: [Measures(tokens_per_second=100)] for name in ("caravan", "llama-server")}
    found = {"nano-16": WorkloadResults(runs=runs, raw_decode=[200.0], notes=["same", "same"])}
    results = Results(
        machine="m", build="b", mode="quick", started="now", num_repeats=1, num_threads=2, workloads=found
    )
    text = report.markdown(results)
    assert text.count("same") == 1
    assert "| nano, 16 clients, greedy | caravan | 100 | 1.00 | – |" in text
    assert "| tokens/s / raw | ≥ 0.800 | 0.500 | no |" in text
    assert table(("a",), []) == ""


def test_workloads_repeat_themselves_exactly_and_differ_between_repeats() -> None:
    import random

    for workload in workloads.BY_NAME.values():
        one, again, other = (workload.scripts(random.Random(seed), Scale(0.35)) for seed in ("a", "a", "b"))
        assert one == again
        assert one != other
