"""What a search may choose from: a range or a list of choices for each decoding parameter."""

import json
import math
from collections.abc import Mapping
from typing import Any, get_args

from caravan_schemas.base import Schema
from caravan_schemas.parameters import parameters
from caravan_schemas.sampling import DecodingFields
from pydantic import ConfigDict, Field, ValidationError, model_validator

# A grid takes this many values of a range that says nothing else.
DEFAULT_POINTS = 5
# Of one parameter by its steps, and of a grid: they are listed, and nobody waits for more trials.
MOST_POINTS = 100_000

Parameters = Mapping[str, Any]


class Dimension(Schema):
    """One parameter's `choices`, or all from `low` to `high`."""

    model_config = ConfigDict(frozen=True)

    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = Field(default=None, gt=0)
    log: bool = False
    points: int | None = Field(default=None, ge=2, le=1000)
    choices: list[Any] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> "Dimension":
        ranged = (self.low, self.high, self.step, self.points)
        if self.choices is not None:
            if self.log or any(value is not None for value in ranged):
                raise ValueError("'choices' stands alone, without a range")
            texts = [choice_text(choice) for choice in self.choices]
            if len(set(texts)) < len(texts):
                raise ValueError("'choices' has one of them twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs 'low' and 'high', or 'choices'")
        if self.low >= self.high:
            raise ValueError("'low' must be less than 'high'")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("'log' needs a 'low' above 0, and goes without 'step'")
        if self.step is not None and (self.high - self.low) / self.step >= MOST_POINTS:
            raise ValueError(
                f"'step' makes more than {MOST_POINTS} values of it; without one, any may be tried"
            )
        return self

    def values(self, *, is_whole: bool) -> list[Any]:
        """List the values of a grid: each choice, each step, or `points` evenly spread."""
        if self.choices is not None:
            return list(self.choices)
        assert self.low is not None
        assert self.high is not None
        if self.step is not None:
            count = math.floor((self.high - self.low) / self.step + 1e-9) + 1
            spread = [self.low + self.step * index for index in range(count)]
        else:
            points = self.points or DEFAULT_POINTS
            spread = [
                _between(self.low, self.high, index / (points - 1), self.log) for index in range(points)
            ]
        if is_whole:
            return sorted({round(value) for value in spread})
        return [float(f"{value:.10g}") for value in spread]


def _between(low: float, high: float, share: float, is_log: bool) -> float:
    if is_log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def choice_text(choice: object) -> str:
    """Write a choice as one text: Optuna keeps no lists and no objects."""
    return json.dumps(choice, sort_keys=True, default=str)


def is_whole(name: str) -> bool:
    """Whether the values of a parameter are whole numbers."""
    return float not in get_args(DecodingFields.model_fields[name].annotation)


def num_points(space: Mapping[str, Dimension]) -> int:
    """Count the combinations of a grid."""
    return math.prod(len(dimension.values(is_whole=is_whole(name))) for name, dimension in space.items())


def fault_of(name: str, dimension: Dimension) -> str | None:
    """Say what is wrong with a parameter's dimension, by the server's own schema; None if nothing is."""
    kinds = get_args(DecodingFields.model_fields[name].annotation)
    if dimension.choices is None:
        if not {int, float} & set(kinds):
            return "has no range of numbers; list its 'choices'"
        if is_whole(name) and any(isinstance(value, float) for value in (dimension.low, dimension.high)):
            return "takes whole numbers, so 'low' and 'high' have to be such"
        if is_whole(name) and isinstance(dimension.step, float):
            return "takes whole numbers, so 'step' has to be one"
        tried: list[object] = [dimension.low, dimension.high]
    else:
        tried = list(dimension.choices)
    for value in tried:
        try:
            DecodingFields.model_validate_json(json.dumps({name: value}, default=str))
        except ValidationError as error:
            return f"cannot be {choice_text(value)}: {error.errors(include_url=False)[0]['msg']}"
    return None


def first_name(name: str) -> str:
    """Return the name under which a parameter and its aliases are one."""
    owners = [other for other, parameter in parameters(DecodingFields).items() if name in parameter.aliases]
    return owners[0] if owners else name
