"""One template's prompts: the conversation adapted, rendered, and held against what was said."""

import datetime
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from caravan.chat.rendering.adaptation import adapt
from caravan.chat.rendering.call_text import CallText
from caravan.chat.rendering.entries import entry_of, tool_values
from caravan.chat.rendering.template import ChatTemplate
from caravan.chat.rendering.traits import Traits
from caravan.chat.rendering.turns import INSTRUCTIONS, Call, Conversation, Turn
from caravan.errors import InvalidRequestError

# Shapes of conversations whose showing is remembered.
_MAX_SHAPES = 512


class Trial(NamedTuple):
    """A prompt of marks, and the place of the first text that it does not show."""

    prompt: str
    missing: int | None


class PromptWriter:
    """Writes prompts with a template of known traits, in this process."""

    def __init__(self, template: ChatTemplate, traits: Traits, call_text: CallText) -> None:
        self.traits = traits
        self._template = template
        self._call_text = call_text
        self._missing: dict[tuple[object, ...], int | None] = {}

    def write(self, conversation: Conversation) -> str:
        """The prompt.

        Raises InvalidRequestError where the template refuses the turns, or would leave one of them out.
        """
        turns = self._adapted(conversation)
        prompt = (
            self._continued(turns, conversation)
            if conversation.continues
            else self._fill(turns, conversation)
        )
        place = self._missing_place(conversation)
        if place is not None:
            param = f"messages[{place}]"
            message = f"'{param}' would not reach the model: its chat template does not show it here."
            raise InvalidRequestError(message, param=param, code="invalid_value")
        return prompt

    def try_out(self, conversation: Conversation) -> Trial:
        """Render the conversation with marks for its texts, and look for them. Raises InvalidRequestError."""
        marks = _marked(self._adapted(conversation))
        prompt = self._fill(marks.turns, conversation)
        return Trial(prompt, _first_missing(prompt, marks))

    def _adapted(self, conversation: Conversation) -> list[Turn]:
        return adapt(conversation, self.traits, self._call_text)

    def _fill(self, turns: Sequence[Turn], conversation: Conversation) -> str:
        traits = self.traits
        given, tools = dict(conversation.variables), tool_values(conversation.tools, traits)
        # Some clients name a template's own variable for tools; the request's tools come first.
        values = given | tools if conversation.tools else tools | given
        if traits.needs_date:
            # By the day, so that prompts of one conversation begin alike.
            values.setdefault("datetime", datetime.datetime.now().strftime("%Y-%m-%d"))
        values["messages"] = [entry_of(turn, traits) for turn in turns]
        opens_answer = conversation.opens_answer and not conversation.continues
        return self._template.fill(values, add_generation_prompt=opens_answer)

    def _missing_place(self, conversation: Conversation) -> int | None:
        turns, tools, *others = conversation
        key = (_shape_of(turns), bool(tools), repr(others))
        if key not in self._missing:
            if len(self._missing) >= _MAX_SHAPES:
                self._missing.pop(next(iter(self._missing)))
            try:
                self._missing[key] = self.try_out(conversation).missing
            except InvalidRequestError:
                # It took the texts themselves, so it is they that it looks at.
                self._missing[key] = None
        return self._missing[key]

    def _continued(self, turns: list[Turn], conversation: Conversation) -> str:
        """The prompt up to the end of the last turn."""
        # Templates put text behind a message, and some trim it; what stands before the mark is what is meant.
        mark = f"<{uuid.uuid4().hex}>"
        last = turns[-1]
        turns = [*turns[:-1], last._replace(content=f"{last.content}{mark}")]
        text = self._fill(turns, conversation)
        if text.count(mark) != 1:
            param = "continue_final_message"
            message = f"'{param}' is not possible: the chat template does not show the message."
            raise InvalidRequestError(message, param=param, code="invalid_value")
        return text[: text.index(mark)]


class _Marked(NamedTuple):
    """A conversation of marks. Leading instructions may stand anywhere; each mark comes with its place."""

    turns: list[Turn]
    head: list[tuple[str, int]]
    body: list[tuple[str, int]]


def _marked(turns: Sequence[Turn]) -> _Marked:
    """The turns with marks for texts: of the same shape, without anything of what they say."""
    marks = (f"qz{number}zq" for number in itertools.count(1))
    result = _Marked([], [], [])
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


def _first_missing(prompt: str, conversation: _Marked) -> int | None:
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


def _shape_of(turns: Sequence[Turn]) -> tuple[object, ...]:
    """Get a key for the verdict: the same for conversations that differ in nothing but their texts."""
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
