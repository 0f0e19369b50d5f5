"""Calls of earlier turns and their results: read, matched by their ids, and put in order."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.messages import AssistantMessage, FunctionMessage, ToolMessage
from schemas.tools import CustomToolCall
from server.chat.past_arguments import past_arguments
from server.chat.template import ChatTemplate
from server.chat.tool_spec import INPUT
from server.errors import InvalidRequestError


@dataclass(frozen=True)
class _Call:
    """A call as the client and as the template know it; one of the older form has no id."""

    path: str
    id: str | None
    shown_id: str
    name: str


class OpenCalls:
    """The calls of one assistant message, and the results that have come for them."""

    def __init__(self, calls: list[_Call] | None = None) -> None:
        self._calls = calls or []
        self._results: dict[str, dict[str, object]] = {}

    def answer(self, path: str, message: ToolMessage | FunctionMessage, content: str) -> None:
        """Take a result in; one that nobody asked for is refused."""
        call = self._called(message)
        if call is None:
            raise _unasked(path, message, bool(self._calls))
        if call.shown_id in self._results:
            raise _refusal(f"{path}.tool_call_id", "has a result already")
        name = call.name if message.name is None else message.name
        self._results[call.shown_id] = {
            "role": "tool",
            "content": content,
            "tool_call_id": call.shown_id,
            "name": name,
        }

    def results(self) -> Iterator[dict[str, object]]:
        """The results in the order of their calls; a call without one is refused."""
        for call in self._calls:
            if call.shown_id not in self._results:
                raise _refusal(call.path, "has no result: a message with it must follow")
            yield self._results[call.shown_id]

    def _called(self, message: ToolMessage | FunctionMessage) -> _Call | None:
        if isinstance(message, FunctionMessage):
            found = (call for call in self._calls if call.id is None and call.name == message.name)
        else:
            found = (call for call in self._calls if call.id == message.tool_call_id)
        return next(found, None)


def call_entries(
    message: AssistantMessage, path: str, template: ChatTemplate
) -> tuple[OpenCalls, list[dict[str, object]]]:
    """The calls of a message, to be matched with results, and as templates read them."""
    calls: list[_Call] = []
    entries: list[dict[str, object]] = []
    for call, arguments in _calls(message, path, template):
        if any(call.shown_id == other.shown_id for other in calls):
            raise _refusal(f"{call.path}.id", "is the id of another call of this message")
        calls.append(call)
        shown = json.dumps(arguments, ensure_ascii=False) if template.wants_argument_text else arguments
        function = {"name": call.name, "arguments": shown}
        entries.append({"id": call.shown_id, "type": "function", "function": function})
    return OpenCalls(calls), entries


def _calls(
    message: AssistantMessage, path: str, template: ChatTemplate
) -> Iterator[tuple[_Call, Mapping[str, Any]]]:
    if message.function_call is not None:
        where = f"{path}.function_call"
        if message.tool_calls:
            raise _refusal(where, "and 'tool_calls' do not go together")
        # Whoever calls in the older form never sees an id; templates want one all the same.
        shown_id = _shown_id(where, template.call_id_length)
        call = _Call(where, None, shown_id, message.function_call.name)
        yield call, past_arguments(message.function_call.arguments)
    for index, tool_call in enumerate(message.tool_calls or ()):
        where = f"{path}.tool_calls[{index}]"
        shown_id = _shown_id(tool_call.id, template.call_id_length)
        if isinstance(tool_call, CustomToolCall):
            yield _Call(where, tool_call.id, shown_id, tool_call.custom.name), {INPUT: tool_call.custom.input}
        else:
            function = tool_call.function
            call = _Call(where, tool_call.id, shown_id, function.name)
            yield call, past_arguments(function.arguments)


def _shown_id(call_id: str, length: int | None) -> str:
    """An id that the template takes: equal ones stay equal, so that a prompt begins as it did before."""
    if length is None or (len(call_id) == length and call_id.isascii() and call_id.isalnum()):
        return call_id
    return hashlib.blake2b(call_id.encode()).hexdigest()[:length]


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
