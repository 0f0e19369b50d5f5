"""What all scorers are to `measure.py`, and what each is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from caravan.tune.client import Answer, Client
from caravan.tune.space import Parameters
from caravan.tune.task import Prompt


@dataclass(frozen=True)
class Case:
    """A prompt, the parameters that are tried, and answers to it; none where the scorer needs none."""

    prompt: Prompt
    parameters: Parameters
    answers: Sequence[Answer]


class Scorer(Protocol):
    """Gives a score to each answer of a case, or one to all of them together."""

    async def score(self, client: Client, case: Case) -> list[float]:
        """Raises TrialError where that cannot be done."""
        ...
