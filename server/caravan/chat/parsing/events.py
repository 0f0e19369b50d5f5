"""What a model's text is made of: the events that parsers find in it while it comes."""

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    """Whom a text is for: the user, or nobody but the model."""

    CONTENT = "content"
    REASONING = "reasoning"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a channel's text."""

    channel: Channel
    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A tool call begins. Calls are counted from zero; `id` is the model's own, where its format has one."""

    index: int
    name: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of a call's arguments; all pieces of a finished call are the text of one JSON object."""

    index: int
    text: str


Event = Delta | CallStart | CallArguments
