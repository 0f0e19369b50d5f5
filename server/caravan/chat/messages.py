"""Messages off the wire into the turns that templates are given."""

from collections.abc import Sequence

from caravan_schemas.messages import (
    AssistantContent,
    AssistantMessage,
    Content,
    FunctionMessage,
    Message,
    RefusalPart,
    TextPart,
    ToolMessage,
)
from caravan_schemas.reasoning import ThinkingPart

from caravan.chat.history import OpenCalls, open_calls
from caravan.chat.rendering.turns import Turn
from caravan.errors import InvalidRequestError


def normalize(messages: Sequence[Message]) -> list[Turn]:
    """One turn per message, its text parts joined; raises InvalidRequestError naming what cannot be.

    A `name` is passed on; as with OpenAI, whether the model sees it is the template's matter. Arguments of
    calls become objects, and results follow their calls in the calls' order.
    """
    turns: list[Turn] = []
    calls = OpenCalls()
    for place, message in enumerate(messages):
        if isinstance(message, ToolMessage | FunctionMessage):
            calls.answer(place, message, joined(message.content or ""))
            continue
        turns.extend(calls.results())
        if isinstance(message, AssistantMessage):
            calls = open_calls(message, f"messages[{place}]")
            turns.append(_answer(place, message, calls))
        else:
            calls = OpenCalls()
            turns.append(Turn(place, message.role, joined(message.content), name=message.name))
    return [*turns, *calls.results()]


def joined(content: Content | AssistantContent) -> str:
    """The text of a message; consecutive parts follow each other as they are."""
    if isinstance(content, str):
        return content
    return "".join(map(_text, content))


def _text(part: TextPart | RefusalPart | ThinkingPart) -> str:
    """What is said; thoughts are told beside it."""
    if isinstance(part, ThinkingPart):
        return ""
    return part.refusal if isinstance(part, RefusalPart) else part.text


def _answer(place: int, message: AssistantMessage, calls: OpenCalls) -> Turn:
    content = None if message.content is None else joined(message.content)
    if content is None and message.refusal is not None:
        content = message.refusal
    if content is None and not calls.shown:
        where = f"messages[{place}].content"
        raise InvalidRequestError(
            f"'{where}' is required where there are no calls.", param=where, code="missing_required_parameter"
        )
    thought = message.reasoning_content or None
    return Turn(place, "assistant", content, calls.shown, thought, message.name)
