"""The scorers of a task, one for each objective."""

import re
from pathlib import Path

import jsonschema

from caravan.tune.errors import TaskError
from caravan.tune.objectives import (
    Contains,
    Cost,
    Distinct,
    Exact,
    Function,
    JsonSchema,
    Judge,
    Length,
    LogLikelihood,
    Objective,
    Regex,
)
from caravan.tune.scorers import text
from caravan.tune.scorers.function import imported
from caravan.tune.scorers.judge import JudgeScorer
from caravan.tune.scorers.likelihood import LikelihoodScorer
from caravan.tune.scorers.scorer import Scorer
from caravan.tune.task import Task


def scorers_of(task: Task, folder: Path) -> list[Scorer]:
    """Make them; functions are imported from `folder`. Raises TaskError."""
    found = []
    for index, objective in enumerate(task.objectives):
        try:
            found.append(_scorer(objective, folder))
        except re.error as error:
            raise TaskError(f"objectives.{index}.pattern: {error}") from error
        except jsonschema.SchemaError as error:
            raise TaskError(f"objectives.{index}.schema: {error.message}") from error
    return found


def _scorer(objective: Objective, folder: Path) -> Scorer:
    match objective:
        case Function():
            return imported(objective.function, folder)
        case Judge():
            return JudgeScorer(objective)
        case LogLikelihood():
            return LikelihoodScorer(objective)
        case Distinct(over="repeats"):
            return text.DistinctTogether(objective.n)
    return text.EachAnswer(_rate(objective))


def _rate(objective: Exact | Contains | Regex | JsonSchema | Distinct | Length | Cost) -> text.Rate:
    match objective:
        case Exact():
            return text.exact(objective)
        case Contains():
            return text.contains(objective)
        case Regex():
            return text.regex(objective)
        case JsonSchema():
            return text.json_schema(objective)
        case Distinct():
            return text.variety(objective)
        case Length():
            return text.length(objective)
        case Cost():
            return text.cost(objective)
