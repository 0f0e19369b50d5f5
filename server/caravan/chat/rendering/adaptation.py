"""A conversation made such that a template of given traits shows all of it."""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.traits import Beside, Calls, Instructions, Joining, Lone, Traits
from caravan.chat.rendering.turns import INSTRUCTIONS, Conversation, Turn, joined


def adapt(conversation: Conversation, traits: Traits, call_text: CallText) -> list[Turn]:
    """The turns that the template is to be given. Nothing that is said is lost, nor its order changed.

    Each step looks at what precedes a turn and at its like behind it, never at what may follow later: a
    conversation that goes on keeps its beginning, as far as the template lets it.
    """
    tools = conversation.tools
    head, body = _parted(_adapt_calls(conversation.turns, traits, call_text, has_tools=bool(tools)))
    if tools and traits.tools_variable is None:
        head.append(Turn(0, "system", call_text.introduce(tools)))
    head = _joined_head(_renamed(head, traits), traits)
    body = [_later(turn, traits) for turn in body]
    if not any(turn.role == "user" for turn in body) and traits.lone is not Lone.AS_IT_IS:
        head, body = _with_user(head, body, traits)
    if traits.system is not Instructions.OWN:
        head, body = [], _in_user(head, body, is_last=traits.system is Instructions.LAST_USER)
    if traits.starts_with_user and body and body[0].role == "assistant":
        body.insert(0, Turn(body[0].place, "user", ""))
    if traits.empty_answer is not None:
        body = list(_answered(body, traits.empty_answer))
    return [*head, *_joined_body(body, traits)]


def _parted(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    """The leading instructions, and the rest."""
    head = list(takewhile(lambda turn: turn.role in INSTRUCTIONS, turns))
    return head, turns[len(head) :]


def _renamed(head: list[Turn], traits: Traits) -> list[Turn]:
    if traits.developer:
        return head
    return [turn._replace(role="system") for turn in head]


def _joined_head(head: list[Turn], traits: Traits) -> list[Turn]:
    is_mixed = len({turn.role for turn in head}) > 1
    if traits.joins_leading is Joining.ALL or (traits.joins_leading is Joining.MIXED and is_mixed):
        return list(_joined(head, lambda _one, _other: True))
    return head


def _later(turn: Turn, traits: Traits) -> Turn:
    """Instructions in the midst of a conversation, where they have to stay."""
    if turn.role == "developer" and traits.developer:
        return turn._replace(role="user") if traits.later_developer is Instructions.USER else turn
    if turn.role in INSTRUCTIONS:
        return turn._replace(role="user" if traits.later_system is Instructions.USER else "system")
    return turn


def _with_user(head: list[Turn], body: list[Turn], traits: Traits) -> tuple[list[Turn], list[Turn]]:
    """Let a user speak, for templates that show nothing, or fail, without any user message."""
    if traits.lone is Lone.USER and head:
        return [], [*(turn._replace(role="user") for turn in head), *body]
    place = body[0].place if body else head[-1].place
    return head, [Turn(place, "user", ""), *body]


def _in_user(head: list[Turn], body: list[Turn], *, is_last: bool) -> list[Turn]:
    if not head:
        return body
    text = functools.reduce(joined, (turn.content for turn in head), None)
    places = [index for index, turn in enumerate(body) if turn.role == "user"]
    # Some templates write it there by themselves, but only while no answer follows.
    place = (places[-1] if places else 0) if is_last else 0
    if place in places:
        turn = body[place]._replace(content=joined(text, body[place].content))
        return [*body[:place], turn, *body[place + 1 :]]
    return [Turn(head[0].place, "user", text), *body]


def _answered(body: list[Turn], empty: str) -> Iterator[Turn]:
    """Put an empty answer between results and a user message, for templates in which both must alternate."""
    last = None
    for turn in body:
        if last == "tool" and turn.role == "user":
            yield Turn(turn.place, "assistant", empty)
        yield turn
        last = turn.role


def _joined_body(body: list[Turn], traits: Traits) -> Iterator[Turn]:
    roles = {"user"} if traits.joins_users else set()
    if traits.joins_assistants:
        roles.add("assistant")
    return _joined(body, lambda one, other: one.role == other.role in roles and not one.calls)


def _joined(turns: Sequence[Turn], belong: Callable[[Turn, Turn], bool]) -> Iterator[Turn]:
    """The turns, neighbours that `belong` together made one."""
    last: Turn | None = None
    for turn in turns:
        if last is None:
            last = turn
        elif belong(last, turn):
            content = joined(last.content, turn.content)
            last = turn._replace(
                place=last.place, role=last.role, content=content, thought=turn.thought or last.thought
            )
        else:
            yield last
            last = turn
    if last is not None:
        yield last


def _adapt_calls(
    turns: Sequence[Turn], traits: Traits, call_text: CallText, *, has_tools: bool
) -> list[Turn]:
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
        written = _with_calls(turn, answers, calls, traits, call_text)
        adapted.extend(_shortened(one, traits) if results else _as_user(one) for one in written)
    return adapted


def _with_calls(
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
