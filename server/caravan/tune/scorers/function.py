"""A Python function of the task's own as a scorer."""

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from caravan.tune.client import Client
from caravan.tune.errors import TaskError, TrialError
from caravan.tune.scorers.scorer import Case


@dataclass(frozen=True)
class FunctionScorer:
    """Calls `function(text, references)` for every answer."""

    name: str
    function: Callable[[str, list[str]], object]

    async def score(self, client: Client, case: Case) -> list[float]:  # noqa: ARG002 (others ask)
        """Whatever the function raises fails the trial."""
        return [self._rate(answer.text, case.prompt.references) for answer in case.answers]

    def _rate(self, text: str, references: list[str]) -> float:
        try:
            value = self.function(text, references)
        except Exception as error:
            raise TrialError(f"{self.name} raised {type(error).__name__}: {error}") from error
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise TrialError(f"{self.name} has to return a finite number, and returned {value!r:.60}")
        return float(value)


def imported(name: str, folder: Path) -> FunctionScorer:
    """Import `module:function`, from the task's folder before all others. Raises TaskError."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(folder.resolve()))
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise TaskError(f"the function {name} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise TaskError(f"{name} is no function")
    return FunctionScorer(name, function)
