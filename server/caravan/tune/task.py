"""A task as its file says it: the model, the prompts, what counts as good, and what may be tried."""

from typing import Any, Literal

from caravan_schemas.base import Schema
from pydantic import ConfigDict, Field, model_validator

from caravan.tune.objectives import Objective, scores_each_answer
from caravan.tune.space import Dimension

# Between repeats of one trial the seeds differ; between trials they do not, so that luck is shared.
_SEED = 1

Method = Literal["grid", "random", "bayesian"]


class _Table(Schema):
    model_config = ConfigDict(frozen=True)


class Prompt(_Table):
    """A text, or a conversation, and what a good answer is held against."""

    prompt: str | None = None
    messages: list[dict[str, Any]] | None = Field(default=None, min_length=1)
    references: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _one_of_both(self) -> "Prompt":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("needs either 'prompt' or 'messages'")
        return self

    @property
    def text(self) -> str:
        """What was asked: the text, or the last message's."""
        return self.prompt if self.prompt is not None else str((self.messages or [{}])[-1].get("content", ""))


class Search(_Table):
    """How to look."""

    method: Method = "bayesian"
    trials: int | None = Field(default=None, ge=1, le=100_000)
    repeats: int = Field(default=3, ge=1, le=1000)
    pruning: bool | None = None
    parallel: int = Field(default=4, ge=1, le=256)
    finalists: int = Field(default=3, ge=1, le=50)
    seed: int = Field(default=_SEED, ge=0, le=2**31)


class Budget(_Table):
    """When to stop looking. It counts all runs of one study."""

    requests: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)


class Task(_Table):
    """All of it. `prompts` are those of `prompts_file`, too, once it is read."""

    name: str = Field(default="tuned", pattern=r"^[\w.-]{1,64}$")
    model: str | None = None
    route: Literal["chat", "text"] = "chat"
    system: str | None = None
    prompts: list[Prompt] = Field(default=[])
    prompts_file: str | None = None
    held_out: float = Field(default=0.3, ge=0, lt=1)
    request: dict[str, Any] = Field(default={})
    objectives: list[Objective] = Field(min_length=1, max_length=4)
    space: dict[str, Dimension] = Field(min_length=1, max_length=32)
    search: Search = Search()
    budget: Budget = Budget()

    @property
    def prunes(self) -> bool:
        """Whether a trial that is clearly worse is ended early; by itself where that can be told."""
        can = len(self.objectives) == 1 and scores_each_answer(self.objectives[0])
        return can if self.search.pruning is None else self.search.pruning
