"""Messages off the wire into the turns that templates are given, past calls with their results."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from caravan_schemas.messages import (
    AssistantContent,
    AssistantMessage,
    Content,
    FunctionMessage,
    Message,
    RefusalPart,
    TextPart,
    ToolMessage,
    UserContent,
    UserPart,
)
from caravan_schemas.reasoning import ThinkingPart
from caravan_schemas.tools import CustomToolCall
from pydantic_core import from_json

from caravan.chat.parsing.literals import PYTHON, converted
from caravan.chat.rendering.turns import Call, Turn
from caravan.chat.tool_formats.tool_spec import INPUT
from caravan.errors import InvalidRequestError, UnsupportedParameterError
from caravan.runtime.json_size import checked_size

Part = UserPart | RefusalPart | ThinkingPart


@dataclass(frozen=True)
class _OpenCall:
    """A call and where it is; one of the older form has no id that the client knows."""

    path: str
    is_older: bool
    call: Call


class _OpenCalls:
    """The calls of one assistant message, and the results that have come for them."""

    def __init__(self, calls: list[_OpenCall] | None = None) -> None:
        self._calls = calls or []
        self._results: dict[str, Turn] = {}

    @property
    def shown(self) -> tuple[Call, ...]:
        """The calls as their message has them."""
        return tuple(call.call for call in self._calls)

    def answer(self, place: int, message: ToolMessage | FunctionMessage, content: str) -> None:
        """Take a result in; one that nobody asked for is refused."""
        path = f"messages[{place}]"
        call = self._called(message)
        if call is None:
            raise _unasked(path, message, bool(self._calls))
        if call.id in self._results:
            raise _refusal(f"{path}.tool_call_id", "has a result already")
        name = call.name if message.name is None else message.name
        self._results[call.id] = Turn(place, "tool", content, name=name, call_id=call.id)

    def results(self) -> Iterator[Turn]:
        """The results in the order of their calls; a call without one is refused."""
        for call in self._calls:
            if call.call.id not in self._results:
                raise _refusal(call.path, "has no result: a message with it must follow")
            yield self._results[call.call.id]

    def _called(self, message: ToolMessage | FunctionMessage) -> Call | None:
        is_older = isinstance(message, FunctionMessage)
        calls = (call.call for call in self._calls if call.is_older == is_older)
        if isinstance(message, FunctionMessage):
            found = (call for call in calls if call.name == message.name)
        else:
            found = (call for call in calls if call.id == message.tool_call_id)
        return next(found, None)


def normalize(messages: Sequence[Message]) -> list[Turn]:
    """Make one turn of each message, its text parts joined. Raises InvalidRequestError.

    A `name` is passed on; as with OpenAI, whether the model sees it is the template's matter. Arguments of
    calls become objects, and results follow their calls in the calls' order.
    """
    turns: list[Turn] = []
    calls = _OpenCalls()
    for place, message in enumerate(messages):
        if isinstance(message, ToolMessage | FunctionMessage):
            calls.answer(place, message, _joined(message.content or "", place))
            continue
        turns.extend(calls.results())
        if isinstance(message, AssistantMessage):
            calls = _open_calls(message, f"messages[{place}]")
            turns.append(_answer(place, message, calls))
        else:
            calls = _OpenCalls()
            turns.append(Turn(place, message.role, _joined(message.content, place), name=message.name))
    return [*turns, *calls.results()]


def _joined(content: Content | UserContent | AssistantContent, place: int) -> str:
    """The text of a message; consecutive parts follow each other as they are."""
    if isinstance(content, str):
        return content
    return "".join(_text(part, place, index) for index, part in enumerate(content))


def _text(part: Part, place: int, index: int) -> str:
    """Get the text that a part adds to its message's content; a thought adds none.

    Where images and sounds are read, marks have taken their places before.
    """
    if isinstance(part, TextPart):
        return part.text
    if isinstance(part, ThinkingPart):
        return ""
    if isinstance(part, RefusalPart):
        return part.refusal
    param = f"messages[{place}].content[{index}]"
    raise UnsupportedParameterError(
        f"'{param}' has the type '{part.type}', which is not supported here; text is.", param=param
    )


def _answer(place: int, message: AssistantMessage, calls: _OpenCalls) -> Turn:
    content = None if message.content is None else _joined(message.content, place)
    if content is None and message.refusal is not None:
        content = message.refusal
    if content is None and not calls.shown:
        where = f"messages[{place}].content"
        raise InvalidRequestError(
            f"'{where}' is required where there are no calls.", param=where, code="missing_required_parameter"
        )
    thought = message.reasoning_content or None
    return Turn(place, "assistant", content, calls.shown, thought, message.name)


def _open_calls(message: AssistantMessage, path: str) -> _OpenCalls:
    """The calls of a message, to be matched with results."""
    calls: list[_OpenCall] = []
    for call in _calls(message, path):
        if any(call.call.id == other.call.id for other in calls):
            raise _refusal(f"{call.path}.id", "is the id of another call of this message")
        calls.append(call)
    return _OpenCalls(calls)


def _calls(message: AssistantMessage, path: str) -> Iterator[_OpenCall]:
    if message.function_call is not None:
        where = f"{path}.function_call"
        if message.tool_calls:
            raise _refusal(where, "and 'tool_calls' do not go together")
        function = message.function_call
        # Whoever calls in the older form never sees an id; templates want one all the same.
        yield _OpenCall(where, True, Call(where, function.name, past_arguments(function.arguments)))
    for index, tool_call in enumerate(message.tool_calls or ()):
        if isinstance(tool_call, CustomToolCall):
            call = Call(tool_call.id, tool_call.custom.name, {INPUT: tool_call.custom.input})
        else:
            arguments = past_arguments(tool_call.function.arguments)
            call = Call(tool_call.id, tool_call.function.name, arguments)
        yield _OpenCall(f"{path}.tool_calls[{index}]", False, call)


def _unasked(path: str, message: ToolMessage | FunctionMessage, are_calls: bool) -> InvalidRequestError:
    if isinstance(message, FunctionMessage):
        return _refusal(f"{path}.name", "is no function that the assistant message before it calls")
    if not are_calls:
        return _refusal(
            f"{path}.tool_call_id", "answers nothing: no assistant message with calls precedes it"
        )
    return _refusal(f"{path}.tool_call_id", "is no id of a call in the assistant message before it")


def _refusal(param: str, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{param}' {complaint}.", param=param, code="invalid_value")


def past_arguments(text: str) -> dict[str, Any]:
    """The object that a text is, or was meant to be.

    A call may have been cut by a limit, or come from a model that writes Python's constants or quotes. What
    is no object at all, or one with too much in it, is shown as the input of a custom tool is: a whole
    conversation must not fail over it.
    """
    # Many clients write a call without arguments so.
    if not text.strip():
        return {}
    try:
        checked_size(text.encode())
    except InvalidRequestError:
        return {INPUT: text}
    value = _read(text)
    if isinstance(value, str):
        # Some write the JSON twice over.
        value = _read(value)
    if value is None and text.strip() in ("null", "None"):
        return {}
    return value if isinstance(value, dict) else {INPUT: text}


def _read(text: str) -> object:
    """The value of a text; None if it has none, not even one that breaks off."""
    for source, is_partial in ((text, False), (converted(text, PYTHON), False), (text, True)):
        if source is None:
            continue
        try:
            value: object = from_json(
                source, allow_inf_nan=False, allow_partial="trailing-strings" if is_partial else False
            )
        except ValueError:
            continue
        return value
    return None
