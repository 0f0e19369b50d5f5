"""Whether a prompt shows all that was said: the same conversation, with a mark for each of its texts."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caravan.chat.rendering.turns import INSTRUCTIONS, Call, Turn


class Marked(NamedTuple):
    """A conversation of marks. Leading instructions may stand anywhere; each mark comes with its place."""

    turns: list[Turn]
    head: list[tuple[str, int]]
    body: list[tuple[str, int]]


def marked(turns: Sequence[Turn]) -> Marked:
    """The turns with marks for texts: of the same shape, without anything of what they say."""
    marks = (f"qz{number}zq" for number in itertools.count(1))
    result = Marked([], [], [])
    is_head = True
    for turn in turns:
        is_head = is_head and turn.role in INSTRUCTIONS
        found = result.head if is_head else result.body
        content = turn.content
        if content and content.strip():
            content = next(marks)
            found.append((content, turn.place))
        calls = tuple(_marked_calls(turn, marks, found))
        result.turns.append(turn._replace(content=content, calls=calls))
    return result


def _marked_calls(turn: Turn, marks: Iterator[str], found: list[tuple[str, int]]) -> Iterator[Call]:
    for call in turn.calls:
        if call.arguments:
            mark = next(marks)
            found.append((mark, turn.place))
            call = call._replace(arguments={"a": mark})
        yield call


def first_missing(prompt: str, conversation: Marked) -> int | None:
    """The place of the first text that the prompt does not show, or not in its order."""
    missing = (_missing(prompt, conversation.head), _missing(prompt, conversation.body))
    return min((place for place in missing if place is not None), default=None)


def _missing(prompt: str, marks: Sequence[tuple[str, int]]) -> int | None:
    last = -1
    for mark, place in marks:
        last = prompt.find(mark, last + 1)
        if last < 0:
            return place
    return None


def shape_of(turns: Sequence[Turn]) -> tuple[object, ...]:
    """What decides on a marked conversation: equal for conversations that differ in their texts alone."""
    return tuple(
        (
            turn.role,
            bool(turn.content and turn.content.strip()),
            turn.content is None,
            tuple((call.name, bool(call.arguments)) for call in turn.calls),
            bool(turn.thought),
            turn.name,
        )
        for turn in turns
    )
