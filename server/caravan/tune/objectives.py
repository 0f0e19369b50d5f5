"""What counts as good: a scorer each, with its direction."""

from typing import Annotated, Any, Literal

from caravan_schemas.base import Schema
from pydantic import ConfigDict, Field

Direction = Literal["maximize", "minimize"]


class _Scored(Schema):
    model_config = ConfigDict(frozen=True)

    name: str | None = Field(default=None, pattern=r"^[\w .-]{1,40}$")
    direction: Direction = "maximize"

    @property
    def title(self) -> str:
        """The name, or the scorer's."""
        return self.name or str(getattr(self, "scorer", ""))


class Exact(_Scored):
    """1 where the answer is one of the references, spaces around it left out."""

    scorer: Literal["exact"]
    ignore_case: bool = False


class Contains(_Scored):
    """1 where a reference is in the answer; with `all`, where each is."""

    scorer: Literal["contains"]
    ignore_case: bool = False
    all: bool = False


class Regex(_Scored):
    """1 where the pattern is found; without `pattern`, one of the references, which are patterns then."""

    scorer: Literal["regex"]
    pattern: str | None = None


class JsonSchema(_Scored):
    """1 where the answer is JSON that the schema holds for."""

    scorer: Literal["json_schema"]
    json_schema: dict[str, Any] = Field(alias="schema")


class Distinct(_Scored):
    """The share of different sequences of `n` words: of each answer, or of a prompt's answers together."""

    scorer: Literal["distinct"]
    n: int = Field(default=2, ge=1, le=10)
    over: Literal["answer", "repeats"] = "answer"


class LogLikelihood(_Scored):
    """The mean log probability that decoding gives each token of the references.

    A token that is not among the 20 likeliest that the samplers leave counts as `floor`.
    """

    scorer: Literal["log_likelihood"]
    floor: float = Field(default=1e-4, gt=0, lt=1)


class Judge(_Scored):
    """What a model decides: how likely the statement is, or its place on the levels, from 0 to 1."""

    scorer: Literal["judge"]
    question: str = Field(min_length=1)
    levels: list[str] | None = Field(default=None, min_length=2, max_length=10)
    model: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://\S+$")


class Function(_Scored):
    """What a Python function says of an answer."""

    scorer: Literal["function"]
    function: str = Field(pattern=r"^[\w.]+:\w+$")


class Length(_Scored):
    """How long the answer is."""

    scorer: Literal["length"]
    unit: Literal["tokens", "words", "characters"] = "tokens"
    direction: Direction = "minimize"


class Cost(_Scored):
    """What the answer has taken: tokens of prompt and answer, or seconds."""

    scorer: Literal["cost"]
    unit: Literal["tokens", "seconds"] = "tokens"
    direction: Direction = "minimize"


Objective = Annotated[
    Exact | Contains | Regex | JsonSchema | Distinct | LogLikelihood | Judge | Function | Length | Cost,
    Field(discriminator="scorer"),
]


def scores_each_answer(objective: Objective) -> bool:
    """Whether every answer has a score of its own, rather than all answers to a prompt one."""
    together = isinstance(objective, Distinct) and objective.over == "repeats"
    return not together and not isinstance(objective, LogLikelihood)


def needs_answers(objective: Objective) -> bool:
    """Whether there has to be an answer at all."""
    return not isinstance(objective, LogLikelihood)


def needs_references(objective: Objective) -> bool:
    """Whether every prompt has to have references."""
    is_pattern = isinstance(objective, Regex) and objective.pattern is None
    return is_pattern or isinstance(objective, Exact | Contains | LogLikelihood)
