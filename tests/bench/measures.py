"""Numbers out of outcomes: percentiles of one run, medians and ratios over the runs."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence

import msgspec

from tests.bench.plan import Exchange, Outcome


class Measures(msgspec.Struct, kw_only=True):
    """One run of one workload on one server; times in seconds, None where nothing was measured.

    Gaps are the pauses between two pieces of text of one answer. `slowest_to_median` compares the durations
    of whole answers. Shares are of one processor; foreign is what processes outside the benchmark took.
    """

    tokens_per_second: float | None = None
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    gap_p50: float | None = None
    gap_p95: float | None = None
    gap_max: float | None = None
    slowest_to_median: float | None = None
    seconds: float | None = None
    num_errors: int = 0
    first_error: str = ""
    cached_share: float | None = None
    resident_bytes: int | None = None
    seconds_to_ready: float | None = None
    first_answer_seconds: float | None = None
    server_cpu_share: float | None = None
    client_cpu_share: float | None = None
    foreign_cpu_share: float = 0.0


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value below which `share` of the values lie, by linear interpolation; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def measure(outcome: Outcome, *, ttft_group: str | None = None, gap_group: str | None = None) -> Measures:
    """The measures of an outcome; where a group is named, only its first tokens or its gaps count."""
    good = [exchange for exchange in outcome.exchanges if not exchange.error]
    errors = [exchange.error for exchange in outcome.exchanges if exchange.error]
    firsts = [e.times[0] - e.sent for e in _of_group(good, ttft_group) if e.times]
    gaps = [gap for e in _of_group(good, gap_group) for gap in _gaps(e.times)]
    durations = [exchange.ended - exchange.sent for exchange in good]
    num_prompt_tokens = sum(exchange.num_prompt_tokens for exchange in good)
    return Measures(
        tokens_per_second=sum(e.num_completion_tokens for e in good) / outcome.seconds,
        ttft_p50=percentile(firsts, 0.5),
        ttft_p95=percentile(firsts, 0.95),
        gap_p50=percentile(gaps, 0.5),
        gap_p95=percentile(gaps, 0.95),
        gap_max=max(gaps, default=None),
        slowest_to_median=max(durations) / statistics.median(durations) if durations else None,
        seconds=outcome.seconds,
        num_errors=len(errors),
        first_error=errors[0] if errors else "",
        cached_share=sum(e.num_cached_tokens for e in good) / num_prompt_tokens
        if num_prompt_tokens
        else None,
        client_cpu_share=outcome.client_cpu_seconds / outcome.seconds,
    )


def median_of(runs: Sequence[Measures], name: str) -> float | None:
    """The median of a measure over the runs that have it."""
    values = [value for run in runs if (value := getattr(run, name)) is not None]
    return float(statistics.median(values)) if values else None


def median_ratio(ours: Sequence[Measures], theirs: Sequence[Measures], name: str) -> float | None:
    """The median over the repeats of our measure by theirs; a pair shares its moment, so noise cancels."""
    return _paired(ours, theirs, name, lambda a, b: a / b if b else None)


def median_difference(ours: Sequence[Measures], theirs: Sequence[Measures], name: str) -> float | None:
    """The median over the repeats of our measure less theirs."""
    return _paired(ours, theirs, name, lambda a, b: a - b)


def _paired(
    ours: Sequence[Measures],
    theirs: Sequence[Measures],
    name: str,
    compare: Callable[[float, float], float | None],
) -> float | None:
    pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(ours, theirs, strict=False)]
    values = [compare(a, b) for a, b in pairs if a is not None and b is not None]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _of_group(exchanges: Sequence[Exchange], group: str | None) -> list[Exchange]:
    return [exchange for exchange in exchanges if group in (None, exchange.group)]


def _gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]
