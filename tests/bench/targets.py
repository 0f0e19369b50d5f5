"""What our server has to reach beside a peer, and whether it did."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.measures import Measures, median_difference, median_of, median_ratio


class How(enum.Enum):
    """What is held against the limit: our median, or how it compares to the peer's, to the raw speed or
    to our own in the workload that this one is a variant of.
    """

    VALUE = "value"
    RATIO = "ratio"
    DIFFERENCE = "difference"
    TO_RAW = "of raw"
    TO_PLAIN = "of plain"
    OVER_PLAIN = "over plain"


@dataclass(frozen=True)
class Target:
    """`measure` is to be at most or, with `at_least`, at least `limit`."""

    measure: str
    how: How
    limit: float
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    """A target and what was reached, None where it could not be told."""

    target: Target
    reached: float | None

    @property
    def holds(self) -> bool | None:
        if self.reached is None:
            return None
        if self.target.at_least:
            return self.reached >= self.target.limit
        return self.reached <= self.target.limit


def judge(
    target: Target,
    runs: Mapping[str, Sequence[Measures]],
    ours: str,
    peer: str,
    raw: float | None,
    plain: Sequence[Measures] = (),
) -> Verdict:
    """Hold our runs of one workload against a target; `plain` are ours of what it is a variant of."""
    own, others = runs.get(ours, ()), runs.get(peer, ())
    reached: float | None
    match target.how:
        case How.VALUE:
            reached = median_of(own, target.measure)
        case How.RATIO:
            reached = median_ratio(own, others, target.measure)
        case How.DIFFERENCE:
            reached = median_difference(own, others, target.measure)
        case How.TO_RAW:
            value = median_of(own, target.measure)
            reached = value / raw if raw and value is not None else None
        case How.TO_PLAIN:
            reached = median_ratio(own, plain, target.measure)
        case How.OVER_PLAIN:
            reached = median_difference(own, plain, target.measure)
    return Verdict(target, reached)
