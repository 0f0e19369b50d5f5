"""Scores one set of parameters: asks all prompts as often as the task says, and rates the answers."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from caravan.tune.client import Answer, Client
from caravan.tune.concurrency import together
from caravan.tune.objectives import needs_answers, scores_each_answer
from caravan.tune.scorers.scorer import Case, Scorer
from caravan.tune.space import Parameters
from caravan.tune.task import Prompt, Task

# How often a trial is looked at that may be ended early.
_NUM_LOOKS = 6
# The seeds of prompts lie so far apart that those of their repeats never meet.
_SEEDS_OF_A_PROMPT = 10_000

# Told the number of a look and the mean so far.
Look = Callable[[int, float], None]


@dataclass(frozen=True)
class Measured:
    """The scores of each objective, by prompts, and the answers, by prompts too."""

    scores: list[list[list[float]]]
    answers: list[list[Answer]]
    num_requests: int
    num_tokens: int

    def as_document(self) -> dict[str, Any]:
        """All but the answers, for the study's file."""
        return {"scores": self.scores, "num_requests": self.num_requests, "num_tokens": self.num_tokens}

    def lines(self, objectives: Sequence[str], prompts: Sequence[Prompt]) -> Iterator[dict[str, Any]]:
        """Every answer with its scores, for people to read."""
        for row, (prompt, answers) in enumerate(zip(prompts, self.answers, strict=True)):
            for repeat, answer in enumerate(answers):
                scores = {
                    name: columns[row][repeat if len(columns[row]) > repeat else 0]
                    for name, columns in zip(objectives, self.scores, strict=True)
                }
                yield {"prompt": prompt.text, "repeat": repeat, "scores": scores, **asdict(answer)}


@dataclass(frozen=True)
class Meter:
    """Measures parameters by some prompts, always the same ones with the same seeds."""

    client: Client
    task: Task
    scorers: Sequence[Scorer]
    prompts: Sequence[Prompt]
    first_seed: int

    async def measure(self, parameters: Parameters, look: Look | None = None) -> Measured:
        """Raises TrialError, SearchError, and what `look` raises, after which no request runs any more."""
        requests, tokens = self.client.spent.requests, self.client.spent.tokens
        answers: list[list[Answer]] = [[] for _ in self.prompts]
        scores: list[list[list[float]]] = [[[] for _ in self.prompts] for _ in self.scorers]
        units = self._units()
        size = math.ceil(len(units) / _NUM_LOOKS) if look else max(len(units), 1)
        size = max(size, min(self.task.search.parallel, len(units)))
        for number, start in enumerate(range(0, len(units), size)):
            chunk = units[start : start + size]
            for row, answer, rated in await together([self._unit(parameters, *unit) for unit in chunk]):
                answers[row].append(answer)
                for index, value in rated.items():
                    scores[index][row].append(value)
            if look is not None and start + size < len(units):
                look(number, statistics.fmean(value for row in scores[0] for value in row))
        await self._rate_together(parameters, answers, scores)
        spent = self.client.spent
        return Measured(scores, answers, spent.requests - requests, spent.tokens - tokens)

    def _units(self) -> list[tuple[int, int]]:
        """Pairs of prompt and repeat, all prompts once before any is repeated."""
        if not any(map(needs_answers, self.task.objectives)):
            return []
        return [
            (row, repeat) for repeat in range(self.task.search.repeats) for row in range(len(self.prompts))
        ]

    async def _unit(
        self, parameters: Parameters, row: int, repeat: int
    ) -> tuple[int, Answer, dict[int, float]]:
        prompt = self.prompts[row]
        seed = self.first_seed + row * _SEEDS_OF_A_PROMPT + repeat
        answer = await self.client.answer(prompt, parameters, seed)
        rated = {}
        for index, (objective, scorer) in enumerate(zip(self.task.objectives, self.scorers, strict=True)):
            if scores_each_answer(objective):
                (rated[index],) = await scorer.score(self.client, Case(prompt, parameters, [answer]))
        return row, answer, rated

    async def _rate_together(
        self, parameters: Parameters, answers: list[list[Answer]], scores: list[list[list[float]]]
    ) -> None:
        for index, (objective, scorer) in enumerate(zip(self.task.objectives, self.scorers, strict=True)):
            if not scores_each_answer(objective):
                cases = [
                    Case(prompt, parameters, given)
                    for prompt, given in zip(self.prompts, answers, strict=True)
                ]
                scores[index][:] = await together([scorer.score(self.client, case) for case in cases])
