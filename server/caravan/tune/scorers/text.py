"""Scores that the text alone decides: references, patterns, schemas, variety, length and cost."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema

from caravan.tune.client import Answer, Client
from caravan.tune.objectives import Contains, Cost, Distinct, Exact, JsonSchema, Length, Regex
from caravan.tune.scorers.scorer import Case
from caravan.tune.task import Prompt

Rate = Callable[[Answer, Prompt], float]


@dataclass(frozen=True)
class EachAnswer:
    """Rates every answer by itself."""

    rate: Rate

    async def score(self, client: Client, case: Case) -> list[float]:  # noqa: ARG002 (others ask)
        """Rate them."""
        return [self.rate(answer, case.prompt) for answer in case.answers]


@dataclass(frozen=True)
class DistinctTogether:
    """Rates the variety of a prompt's answers, taken as one text."""

    n: int

    async def score(self, client: Client, case: Case) -> list[float]:  # noqa: ARG002 (others ask)
        """Count sequences within answers, not across their ends."""
        return [distinct([answer.text for answer in case.answers], self.n)]


def exact(objective: Exact) -> Rate:
    """Compare the whole answer."""
    fold = _fold(objective.ignore_case)
    return lambda answer, prompt: float(
        fold(answer.text.strip()) in {fold(reference.strip()) for reference in prompt.references}
    )


def contains(objective: Contains) -> Rate:
    """Look for references within the answer."""
    fold, wanted = _fold(objective.ignore_case), all if objective.all else any
    return lambda answer, prompt: float(
        wanted(fold(reference) in fold(answer.text) for reference in prompt.references)
    )


def regex(objective: Regex) -> Rate:
    """Search the answer for a pattern. Raises re.error."""
    if objective.pattern is not None:
        pattern = re.compile(objective.pattern)
        return lambda answer, _: float(pattern.search(answer.text) is not None)
    return lambda answer, prompt: float(
        any(re.search(reference, answer.text) is not None for reference in prompt.references)
    )


def json_schema(objective: JsonSchema) -> Rate:
    """Read the answer as JSON and validate it. Raises jsonschema.SchemaError."""
    kind: Any = jsonschema.validators.validator_for(objective.json_schema)
    kind.check_schema(objective.json_schema)
    validator = kind(objective.json_schema)

    def rate(answer: Answer, _: Prompt) -> float:
        try:
            return float(validator.is_valid(json.loads(answer.text)))
        except (ValueError, RecursionError):
            return 0.0

    return rate


def variety(objective: Distinct) -> Rate:
    """Rate the variety within one answer."""
    return lambda answer, _: distinct([answer.text], objective.n)


def distinct(texts: list[str], n: int) -> float:
    """Divide the number of different sequences of `n` words by that of all; 0 where there are none."""
    words = [text.split() for text in texts]
    found = [tuple(row[start : start + n]) for row in words for start in range(len(row) - n + 1)]
    return len(set(found)) / len(found) if found else 0.0


def length(objective: Length) -> Rate:
    """Count what the answer has of the objective's unit."""
    units: dict[str, Rate] = {
        "tokens": lambda answer, _: float(answer.completion_tokens),
        "words": lambda answer, _: float(len(answer.text.split())),
        "characters": lambda answer, _: float(len(answer.text)),
    }
    return units[objective.unit]


def cost(objective: Cost) -> Rate:
    """Count tokens of prompt and answer, or take the seconds until the answer was there."""
    if objective.unit == "seconds":
        return lambda answer, _: answer.seconds
    return lambda answer, _: float(answer.prompt_tokens + answer.completion_tokens)


def _fold(ignore_case: bool) -> Callable[[str], str]:
    return str.casefold if ignore_case else str
