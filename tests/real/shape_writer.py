"""One shape of a conversation, written with a mark in each of its texts."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caravan_schemas.chat import ConversationFields

Body = dict[str, Any]


@dataclass(frozen=True)
class AnswerFormat:
    """`head` are marks of leading instructions, which a template may put elsewhere; each of the `chains`
    are marks that must come in this order. `words` are what tools are called, and what they are for.
    """

    name: str
    body: Mapping[str, Any]
    head: Sequence[str]
    chains: Sequence[Sequence[str]]
    words: Sequence[str] = ()

    @property
    def request(self) -> ConversationFields:
        """The request as the server reads it."""
        return ConversationFields.model_validate(self.body)


class ShapeWriter:
    """Writes the messages of a shape, by letters: `s`, `d`, `u`, `a` are messages of one text."""

    def __init__(self) -> None:
        self._numbers = itertools.count(10)
        self._ids = itertools.count(1)
        self.messages: list[Body] = []
        self.head: list[str] = []
        self.chain: list[str] = []
        self.others: list[list[str]] = []

    def mark(self) -> str:
        return f"mark{next(self._numbers)}x"

    def say(self, role: str, *, parts: int = 0, **more: object) -> "ShapeWriter":
        marks = [self.mark() for _ in range(parts or 1)]
        texts = [f"Some {mark} words." for mark in marks]
        is_head = role in ("system", "developer") and not self.chain
        (self.head if is_head else self.chain).extend(marks)
        content: object = [{"type": "text", "text": text} for text in texts] if parts else texts[0]
        self.messages.append({"role": role, "content": content, **more})
        return self

    def call(self, *arguments: str, answers: Sequence[int] = (0,), **message: object) -> "ShapeWriter":
        """A call for each of the arguments, with a mark for `@`; results come in the order of `answers`."""
        calls: list[Body] = []
        results: dict[int, Body] = {}
        before = len(self.chain)
        content = message.get("content")
        if isinstance(content, str) and content:
            mark = self.mark()
            self.chain.append(mark)
            message["content"] = f"{content} {mark}."
        firsts: list[str] = []
        for index, form in enumerate(arguments or ('{"city": "@"}',)):
            said, result = self.mark(), self.mark()
            call_id = f"call_{next(self._ids):024d}"
            function = {"name": "get_weather", "arguments": form.replace("@", said)}
            calls.append({"id": call_id, "type": "function", "function": function})
            shown = [said] if "@" in form else []
            firsts += shown
            self.others.append([*self.chain[: before + 1], *shown, result])
            results[index] = {"role": "tool", "tool_call_id": call_id, "content": f"It is {result} degrees."}
        self.messages.append({"role": "assistant", **message, "tool_calls": calls})
        self.messages += [results[index] for index in answers]
        if len(calls) == 1:
            self.chain += self.others.pop()[len(self.chain[: before + 1]) :]
        else:
            self.others.append([*self.chain, *firsts])
        return self

    def finish(self, name: str, **fields: object) -> AnswerFormat:
        body: Body = {"messages": self.messages, **fields}
        shape = AnswerFormat(name, body, self.head, [self.chain, *self.others], ())
        if body.get("tool_choice") == "none":
            return shape
        functions = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
        words = [word for function in functions for word in (function["name"], function.get("description"))]
        return dataclasses.replace(shape, words=list(filter(None, words)))


ROLES = {"s": "system", "d": "developer", "u": "user", "a": "assistant"}


def written_by(letters: str) -> ShapeWriter:
    """The messages of these letters; `c` is a call and its result."""
    writer = ShapeWriter()
    for letter in letters:
        if letter == "c":
            writer.call(content=None)
        else:
            writer.say(ROLES[letter])
    return writer


def missing(shape: AnswerFormat, prompt: str) -> list[str]:
    """What a prompt does not show of a shape, or not in its order."""
    found = [word for word in shape.words if word not in prompt]
    for chain in (shape.head, *shape.chains):
        place = 0
        for mark in chain:
            at = prompt.find(mark, place)
            if at < 0:
                found.append(mark)
            else:
                place = at
    return found
