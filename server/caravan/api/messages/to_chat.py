"""Translates requests of Anthropic's Messages API into chat requests, and errors about these back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caravan_schemas.anthropic import JsonOutputFormat, MessagesConversation, MessagesRequest
from caravan_schemas.anthropic_tools import ClientTool, ToolUseChoice
from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.sampling import AnswerFields, CacheFields
from caravan_schemas.structured import JsonSchemaFormat, NamedSchema, PeersConstraintFields
from caravan_schemas.tools import (
    FunctionChoice,
    FunctionTool,
    MovedTool,
    Tool,
    ToolChoice,
    ToolReference,
)

from caravan.api.messages.conversation import conversation
from caravan.api.messages.present_tools import PresentTools, definition_of
from caravan.api.messages.system import BILLING
from caravan.errors import InvalidValueError

_SAME = {
    *AnswerFields.model_fields,
    *CacheFields.model_fields,
    *PeersConstraintFields.model_fields,
    *("model", "chat_template_kwargs"),
} - {"stream"}
# A model that is to think, and is not told how much, thinks as much as it usually does.
_USUAL_EFFORT = "medium"

_MESSAGE = re.compile(r"(messages\[\d+\])(\.tool_calls\[\d+\])?(.*)")
_PART = re.compile(r"(messages\[\d+\]\.content\[\d+\])(?:\.image_url)?")
_FORMAT = re.compile(r"response_format(\.json_schema)?")
_RENAMED = (
    (re.compile(r"(tools\[\d+\])\.function\.parameters"), r"\1.input_schema"),
    (re.compile(r"(tools\[\d+\])\.function"), r"\1"),
    (re.compile(r"tool_choice\.function"), "tool_choice"),
    (re.compile(r"thinking_budget_tokens"), "thinking.budget_tokens"),
    (re.compile(r"reasoning_effort"), "thinking"),
)


@dataclass(frozen=True)
class Translation:
    """`chat` asks for the same as the request. `ignored` names what of it has no effect.

    `places` maps paths in `chat`, such as `messages[2]`, to paths in the request; `stop` and `format` are the
    names under which the request has stop strings and a schema.
    """

    chat: ChatCompletionRequest
    places: Mapping[str, str]
    stop: str = "stop"
    format: str = "output_config.format"
    ignored: list[str] = field(default_factory=list)

    def named(self, path: str) -> str:
        """Return the name in the request of a field of `chat`."""
        if path == "continue_final_message":
            return "messages"
        if found := _FORMAT.match(path):
            return self.format + path[found.end() :]
        if path == "stop" or path.startswith("stop["):
            return path.replace("stop", self.stop, 1)
        if (found := _PART.fullmatch(path)) and found[1] in self.places:
            return f"{self.places[found[1]]}.source"
        if found := _MESSAGE.fullmatch(path):
            message, call, rest = found[1], found[2] or "", found[3]
            place = self.places.get(message + call)
            if place is None:
                return path
            flat = {".tool_call_id": ".tool_use_id", ".function.arguments": ".input", ".content": ""}
            return place + flat.get(rest, rest)
        for pattern, name in _RENAMED:
            if found := pattern.match(path):
                return found.expand(name) + path[found.end() :]
        return path


def translate(request: MessagesConversation, *, can_think: bool) -> Translation:
    """Make the chat request, for a model that can think or cannot. Raises InvalidRequestError."""
    said = conversation(request)
    ignored = [BILLING] if said.system.has_billing else []
    if request.context_management:
        ignored.append("context_management")
    asked = None if request.output_config is None else request.output_config.format
    if asked is not None and request.output_format is not None:
        raise InvalidValueError("output_format", "and 'output_config.format' are two names of one parameter")
    form = "output_config.format" if request.output_format is None else "output_format"
    asked = asked or request.output_format
    values: dict[str, Any] = {
        "model": request.model,
        "chat_template_kwargs": request.chat_template_kwargs,
        "messages": said.messages,
        "tools": [
            _tool(tool, said.tools) if isinstance(tool, ClientTool) else tool for tool in request.tools or ()
        ]
        or None,
        "continue_final_message": True if said.is_open else None,
        "response_format": None if asked is None else _format(asked),
        **_choice(request.tool_choice),
    }
    stop = "stop"
    if isinstance(request, MessagesRequest):
        values |= {name: getattr(request, name) for name in _SAME}
        stop = _set_end(values, request)
    _set_thinking(values, request, ignored, can_think=can_think)
    # Every value has been validated as a part of the request.
    return Translation(ChatCompletionRequest.model_construct(**values), said.places, stop, form, ignored)


def _set_end(values: dict[str, Any], request: MessagesRequest) -> str:
    """Set when the text ends; returns the name under which the request has stop strings."""
    if request.max_tokens == 0:
        values |= {"max_tokens": None, "n_predict": 0}
    if not request.stop_sequences:
        return "stop"
    if request.stop:
        raise InvalidValueError("stop_sequences", "and 'stop' are two names of one parameter")
    values["stop"] = request.stop_sequences
    return "stop_sequences"


def _tool(tool: ClientTool, present: PresentTools) -> Tool:
    function = definition_of(tool)
    is_listed, is_callable = tool.name in present.listed, tool.name in present.callable
    if is_listed and is_callable:
        return FunctionTool.model_construct(type="function", function=function)
    return MovedTool.model_construct(
        type="function", function=function, is_listed=is_listed, is_callable=is_callable
    )


def _choice(choice: ToolUseChoice | None) -> dict[str, Any]:
    if choice is None:
        return {}
    if (choice.type == "tool") != (choice.name is not None):
        raise InvalidValueError("tool_choice.name", "goes with the type 'tool', and with no other")
    only_one = False if choice.disable_parallel_tool_use else None
    return {"tool_choice": _chosen(choice), "parallel_tool_calls": only_one}


def _chosen(choice: ToolUseChoice) -> ToolChoice:
    match choice.type:
        case "any":
            return "required"
        case "tool":
            named = ToolReference.model_construct(name=choice.name)
            return FunctionChoice.model_construct(type="function", function=named)
        case "auto" | "none" as mode:
            return mode


def _format(asked: JsonOutputFormat) -> JsonSchemaFormat:
    named = NamedSchema.model_validate({"name": "output", "schema": asked.schema_})
    return JsonSchemaFormat(type="json_schema", json_schema=named)


def _set_thinking(
    values: dict[str, Any], request: MessagesConversation, ignored: list[str], *, can_think: bool
) -> None:
    """Set whether the model thinks: only if it is asked to, as with Anthropic."""
    asked = request.thinking
    effort = None if request.output_config is None else request.output_config.effort
    wants = asked is not None and asked.type != "disabled"
    if effort is not None and not (wants and can_think):
        ignored.append("output_config.effort")
    if asked is not None and asked.budget_tokens is not None and asked.type != "enabled":
        raise InvalidValueError("thinking.budget_tokens", "goes with the type 'enabled', and with no other")
    if asked is None and request.chat_template_kwargs:
        return
    if not wants:
        values["reasoning_effort"] = "none"
    elif not can_think:
        ignored.append("thinking")
    else:
        assert asked is not None
        values |= {"reasoning_effort": effort or _USUAL_EFFORT, "thinking_budget_tokens": asked.budget_tokens}
