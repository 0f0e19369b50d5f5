"""A conversation before any template has seen it: plain values that JSON can carry."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

INSTRUCTIONS = ("system", "developer")


class Call(NamedTuple):
    """A call of an earlier turn."""

    id: str
    name: str
    arguments: dict[str, Any]


class Turn(NamedTuple):
    """A message. `place` is its index in the request; `call_id` is of the call that a tool's result answers.

    `content` is None where an assistant's message has nothing but calls.
    """

    place: int
    role: str
    content: str | None
    calls: tuple[Call, ...] = ()
    thought: str | None = None
    name: str | None = None
    call_id: str | None = None

    @classmethod
    def of(cls, values: list[Any]) -> "Turn":
        """The turn that JSON made a list of."""
        place, role, content, calls, *others = values
        return cls(place, role, content, tuple(Call(*call) for call in calls), *others)


class Conversation(NamedTuple):
    """All that a prompt is written from; with `continues`, it ends where the last turn does."""

    turns: Sequence[Turn]
    tools: Sequence[Mapping[str, Any]] | None = None
    variables: Mapping[str, Any] = {}
    opens_answer: bool = True
    continues: bool = False

    @classmethod
    def of(cls, values: list[Any]) -> "Conversation":
        """The conversation that JSON made a list of."""
        turns, *others = values
        return cls([Turn.of(turn) for turn in turns], *others)


def joined(first: str | None, second: str | None) -> str:
    """Two texts of one message."""
    return "\n\n".join(filter(None, (first, second)))
