"""Calls of earlier turns and their results, in the form that a template shows."""

import hashlib
from collections.abc import Iterator, Sequence

from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.traits import Beside, Calls, Traits
from caravan.chat.rendering.turns import Turn, joined


def adapt_calls(turns: Sequence[Turn], traits: Traits, call_text: CallText, *, has_tools: bool) -> list[Turn]:
    """The turns, with calls and results as the traits say."""
    calls = traits.calls if has_tools else traits.calls_without_tools
    results = traits.results if has_tools else traits.results_without_tools
    adapted: list[Turn] = []
    index = 0
    while index < len(turns):
        turn = turns[index]
        index += 1
        answers = []
        while turn.calls and index < len(turns) and turns[index].role == "tool":
            answers.append(turns[index])
            index += 1
        written = _written(turn, answers, calls, traits, call_text)
        adapted.extend(_shortened(one, traits) if results else _as_user(one) for one in written)
    return adapted


def _written(
    turn: Turn, answers: list[Turn], calls: Calls, traits: Traits, call_text: CallText
) -> Iterator[Turn]:
    """A message with calls and its results."""
    if not turn.calls:
        yield turn
        return
    form = calls if calls is Calls.TEXT or len(turn.calls) == 1 else traits.parallel_calls
    beside = traits.beside_calls if turn.content else Beside.CONTENT
    if form is Calls.TEXT or beside is Beside.TEXT:
        yield turn._replace(content=joined(turn.content, call_text.write(turn.calls)), calls=())
        yield from answers
        return
    if beside in (Beside.MESSAGE, Beside.MESSAGE_AND_USER):
        yield Turn(turn.place, "assistant", turn.content)
        if beside is Beside.MESSAGE_AND_USER:
            yield Turn(turn.place, "user", "")
        turn = turn._replace(content=None)
    if form is Calls.OWN:
        yield turn
        yield from answers
        return
    yield from _one_by_one(turn, answers)


def _one_by_one(turn: Turn, answers: list[Turn]) -> Iterator[Turn]:
    for number, call in enumerate(turn.calls):
        if number == 0:
            yield turn._replace(calls=(call,))
        else:
            yield Turn(turn.place, "assistant", None, (call,))
        yield from (answer for answer in answers if answer.call_id == call.id)


def _shortened(turn: Turn, traits: Traits) -> Turn:
    if traits.call_id_length is None:
        return turn
    if turn.call_id is not None:
        return turn._replace(call_id=_shown_id(turn.call_id, traits.call_id_length))
    if turn.calls:
        calls = tuple(call._replace(id=_shown_id(call.id, traits.call_id_length)) for call in turn.calls)
        return turn._replace(calls=calls)
    return turn


def _as_user(turn: Turn) -> Turn:
    if turn.role != "tool":
        return turn
    return Turn(turn.place, "user", f"Result of {turn.name}:\n{turn.content}")


def _shown_id(call_id: str, length: int) -> str:
    """An id that the template takes: equal ones stay equal, so that a prompt begins as it did before."""
    if len(call_id) == length and call_id.isascii() and call_id.isalnum():
        return call_id
    return hashlib.blake2b(call_id.encode(errors="replace")).hexdigest()[:length]
