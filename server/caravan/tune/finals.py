"""The best trials once more, on prompts that are new to them, since the best of many is partly luck."""

from collections.abc import Sequence

from caravan.tune.records import (
    HeldOut,
    Record,
    closest_to_the_best,
    ranked,
    sign_of,
)
from caravan.tune.store import Store
from caravan.tune.task import Task

# Of a long front, this many are measured again at most.
_MOST_OF_A_FRONT = 8
_DEFAULTS = "held out: defaults"


def key_of(number: int | None) -> str:
    """Where the study keeps what was measured of a trial, or of the defaults."""
    return _DEFAULTS if number is None else f"held out: {number}"


def most_finalists(task: Task) -> int:
    """How many there are at most."""
    return task.search.finalists if len(task.objectives) == 1 else _MOST_OF_A_FRONT


def finalists(task: Task, front: Sequence[Record], complete: Sequence[Record]) -> list[Record]:
    """The best trials by one objective; by several, the front, or some spread evenly along it."""
    if len(task.objectives) == 1:
        return ranked(task, complete)[: task.search.finalists]
    if len(front) <= _MOST_OF_A_FRONT:
        return list(front)
    last = len(front) - 1
    picked = {round(index * last / (_MOST_OF_A_FRONT - 1)) for index in range(_MOST_OF_A_FRONT)}
    return [front[index] for index in sorted(picked)]


def known(store: Store) -> HeldOut | None:
    """What has been measured; None before the defaults were."""
    defaults = store.kept(_DEFAULTS)
    if defaults is None:
        return None
    kept = {record.number: store.kept(key_of(record.number)) for record in store.records()}
    return HeldOut(
        defaults["scores"],
        {number: document["scores"] for number, document in kept.items() if document is not None},
    )


def winner(
    task: Task, front: Sequence[Record], complete: Sequence[Record], held_out: HeldOut | None
) -> Record | None:
    """The best finalist on held-out prompts; where there are none, the best trial.

    With several objectives, the one that loses least of what could be had in each.
    """
    by_number = {record.number: record for record in complete}
    measured = [number for number in (held_out.finalists if held_out else ()) if number in by_number]
    if held_out is None or not measured:
        points = [(record, record.values) for record in front]
    else:
        means = {number: [one.mean for one in held_out.estimates(number)] for number in measured}
        points = [(by_number[number], means[number]) for number in measured]
    if not points:
        return None
    if len(task.objectives) == 1:
        return max(points, key=lambda point: sign_of(task, 0) * point[1][0])[0]
    return closest_to_the_best(task, points)
