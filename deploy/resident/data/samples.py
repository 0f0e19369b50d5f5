"""The three shapes of a training sample, and the type of a generator."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

Message = dict[str, Any]


@dataclass(frozen=True)
class Chat:
    """A conversation that ends with the assistant; the template renders it."""

    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Plain:
    """Text without turns, ended by end of text."""

    text: str


@dataclass(frozen=True)
class Infill:
    """A gap: what stands before it, what fills it, what stands after it."""

    prefix: str
    middle: str
    suffix: str


Sample = Chat | Plain | Infill
Generator = Callable[[Random], Sample]


def system(content: str) -> Message:
    return {"role": "system", "content": content}


def user(content: str) -> Message:
    return {"role": "user", "content": content}


def assistant(content: str, thought: str | None = None) -> Message:
    message = {"role": "assistant", "content": content}
    if thought:
        message["reasoning_content"] = thought
    return message
