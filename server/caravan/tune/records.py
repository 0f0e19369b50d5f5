"""What a search has found, as frozen values: what the report tells."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from caravan.tune.numbers import Estimate, noise, overlap, spread
from caravan.tune.space import Parameters
from caravan.tune.task import Task

ScoresOfAll = Sequence[Sequence[Sequence[float]]]


class State(enum.Enum):
    """How a trial has ended."""

    COMPLETE = "complete"
    PRUNED = "ended early"
    FAILED = "failed"
    UNFINISHED = "unfinished"


class Ending(enum.Enum):
    """Why a search has ended."""

    DONE = "all trials are done"
    BUDGET = "the budget is used up"
    INTERRUPTED = "it was interrupted"
    FAILED = "it could not go on"


@dataclass(frozen=True)
class Record:
    """One set of parameters that was tried. `scores` are those of each objective, by prompts."""

    number: int
    parameters: Parameters
    state: State
    scores: ScoresOfAll = ()
    message: str = ""
    num_requests: int = 0

    @cached_property
    def estimates(self) -> list[Estimate]:
        """The mean of each objective, as sure as repeats make it."""
        return [noise(scores) for scores in self.scores]

    @property
    def values(self) -> list[float]:
        """The means alone."""
        return [estimate.mean for estimate in self.estimates]


@dataclass(frozen=True)
class HeldOut:
    """Scores by prompts that the search has not seen: the defaults' and those of each finalist, by number."""

    defaults: ScoresOfAll
    finalists: dict[int, ScoresOfAll]

    def estimates(self, number: int | None) -> list[Estimate]:
        """Those of a finalist, or of the defaults, for prompts of this kind."""
        scores = self.defaults if number is None else self.finalists[number]
        return [spread(of_one) for of_one in scores]


@dataclass(frozen=True)
class Findings:
    """All of a study. `front` are the trials that no other is better than in everything, the best first."""

    task: Task
    model: str
    records: list[Record]
    defaults: Record | None
    front: list[Record]
    held_out: HeldOut | None
    winner: Record | None
    importances: list[dict[str, float]]
    ending: Ending
    message: str
    num_requests: int
    num_tokens: int
    seconds: float

    @property
    def complete(self) -> list[Record]:
        """Trials that were measured to the end."""
        return [record for record in self.records if record.state is State.COMPLETE]

    def is_as_good(self, record: Record) -> bool:
        """Whether a trial's difference from the winner is within the noise, in each objective."""
        assert self.winner is not None
        return all(map(overlap, record.estimates, self.winner.estimates))


def ranked(task: Task, records: Sequence[Record]) -> list[Record]:
    """The trials by the first objective, the best first."""
    sign = sign_of(task, 0)
    return sorted(records, key=lambda record: -sign * record.values[0])


def sign_of(task: Task, index: int) -> int:
    """1 where more is better, else -1."""
    return 1 if task.objectives[index].direction == "maximize" else -1


def closest_to_the_best(task: Task, points: Sequence[tuple[Record, Sequence[float]]]) -> Record:
    """The trial that loses least of what could be had in each objective, all weighing the same."""
    signs = [sign_of(task, index) for index in range(len(task.objectives))]
    signed = [[sign * value for sign, value in zip(signs, values, strict=True)] for _, values in points]
    highest, lowest = [list(map(pick, zip(*signed, strict=True))) for pick in (max, min)]

    def loss(values: Sequence[float]) -> float:
        terms = [
            ((top - value) / (top - bottom)) ** 2
            for value, top, bottom in zip(values, highest, lowest, strict=True)
            if top > bottom
        ]
        return math.fsum(terms)

    losses = [loss(values) for values in signed]
    return points[losses.index(min(losses))][0]
