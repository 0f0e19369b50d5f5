"""Calls of earlier turns and their results: read, matched by their ids, and put in order."""

from collections.abc import Iterator
from dataclasses import dataclass

from caravan_schemas.messages import AssistantMessage, FunctionMessage, ToolMessage
from caravan_schemas.tools import CustomToolCall

from caravan.chat.past_arguments import past_arguments
from caravan.chat.rendering.turns import Call, Turn
from caravan.chat.tool_formats.tool_spec import INPUT
from caravan.errors import InvalidRequestError


@dataclass(frozen=True)
class _OpenCall:
    """A call and where it is; one of the older form has no id that the client knows."""

    path: str
    is_older: bool
    call: Call


class OpenCalls:
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


def open_calls(message: AssistantMessage, path: str) -> OpenCalls:
    """The calls of a message, to be matched with results."""
    calls: list[_OpenCall] = []
    for call in _calls(message, path):
        if any(call.call.id == other.call.id for other in calls):
            raise _refusal(f"{call.path}.id", "is the id of another call of this message")
        calls.append(call)
    return OpenCalls(calls)


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
