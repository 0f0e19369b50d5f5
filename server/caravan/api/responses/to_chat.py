"""Translates requests of the Responses API into chat requests, and errors about these back.

Values of OpenAI's API that this server cannot serve are refused by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.queries import RetrievalQuery
from caravan_schemas.responses import ABSENT, ResponseRequest
from caravan_schemas.responses_input import ConversationInput, FlatSchemaFormat
from caravan_schemas.sampling import AnswerFields
from caravan_schemas.structured import JsonSchemaFormat, NamedSchema, PeersConstraintFields, ResponseFormat

from caravan.api.prompt.tools import definitions
from caravan.api.responses.conversation import Placed, conversation, without_past_thoughts
from caravan.api.responses.tools import InSpace, toolbox
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.errors import InvalidRequestError, InvalidValueError, UnsupportedParameterError

LOGPROBS = "message.output_text.logprobs"
# Thoughts are not encrypted here, so that there is nothing to include: the items have them as they are.
INCLUDABLE = (LOGPROBS, "reasoning.encrypted_content")
# All names of the one limit.
_LIMITS = ("max_output_tokens", "max_tokens", "max_completion_tokens", "n_predict")
_SAME = {*AnswerFields.model_fields, *PeersConstraintFields.model_fields, "thinking_budget_tokens"} - {
    "stream",
    *_LIMITS,
}

_VERBOSITY = "text.verbosity"
_MESSAGE = re.compile(r"(messages\[\d+\])(\.tool_calls\[\d+\])?(.*)")
_PART = re.compile(r"(messages\[\d+\]\.content\[\d+\])(.*)")
_TOOL = re.compile(r"(tools\[\d+\])\.(?:function|custom)(?:(\.format)\.grammar)?(.*)")
_RENAMED = (
    (re.compile(r"messages"), "input"),
    (re.compile(r"reasoning_effort"), "reasoning.effort"),
    (re.compile(r"response_format\.json_schema"), "text.format"),
    (re.compile(r"response_format"), "text.format"),
    (re.compile(r"verbosity"), _VERBOSITY),
    (re.compile(r"tool_choice\.allowed_tools"), "tool_choice"),
    (re.compile(r"(tool_choice(?:\.tools\[\d+\])?)\.(?:function|custom)"), r"\1"),
)


# Of these fields only these values are served, beside null.
_ONLY: dict[str, tuple[str, ...]] = {
    "service_tier": ("auto", "default"),
    "reasoning.mode": ("standard",),
}


def check(request: ConversationInput) -> None:
    """Raise InvalidRequestError for the first value that cannot be served."""
    for param, served in _ONLY.items():
        value: Any = request
        for step in param.split("."):
            value = getattr(value, step, None)
        if value is not None and value not in served:
            shown = " or ".join(f"'{each}'" for each in served)
            message = f"'{param}' '{value}' is not supported; only {shown} is."
            raise UnsupportedParameterError(message, param=param)
    if request.conversation is not None and request.previous_response_id is not None:
        raise InvalidValueError("conversation", "and 'previous_response_id' do not go together")
    if isinstance(request, ResponseRequest):
        _check_answer(request)


def _check_answer(request: ResponseRequest) -> None:
    if request.prompt is not None:
        message = "'prompt' is not supported: nobody keeps prompts here."
        raise UnsupportedParameterError(message, param="prompt")
    check_include(request.include or ())
    if request.top_logprobs and LOGPROBS not in (request.include or ()):
        raise InvalidValueError("top_logprobs", f"is only allowed when 'include' has '{LOGPROBS}'")
    options = request.stream_options
    if options is not None and options.include_obfuscation and not request.stream:
        raise InvalidValueError("stream_options", "is only allowed when 'stream' is true")
    if request.background and request.store is False:
        raise InvalidValueError("background", "needs 'store': who asks later finds only what is stored")


def check_retrieval(query: RetrievalQuery) -> None:
    """Refuse what cannot be asked about a stored response."""
    check_include(query.include or ())
    for name in ("starting_after", "include_obfuscation"):
        value = getattr(query, name)
        if value is not None and value is not False and not query.stream:
            raise InvalidValueError(name, "is only allowed when 'stream' is true")


def check_include(include: Sequence[str]) -> None:
    """Refuse unknown names. Those of data that this server never has pass, and include nothing."""
    for index, name in enumerate(include):
        if name not in INCLUDABLE and name not in ABSENT:
            param = f"include[{index}]"
            known = " and ".join(f"'{known}'" for known in INCLUDABLE)
            raise UnsupportedParameterError(f"'{param}' is not supported; {known} are.", param=param)


@dataclass(frozen=True)
class Translation:
    """`chat` asks for the same as the request.

    `places` maps paths in `chat`, such as `messages[2]`, to paths in the request; `limit` is the name under
    which the request limits the tokens. `spaces` has the tools of namespaces by the names in `chat`.
    """

    chat: ChatCompletionRequest
    places: Mapping[str, str]
    limit: str
    spaces: Mapping[str, InSpace] = field(default_factory=dict)

    def named(self, path: str) -> str:
        """The name in the request of a field of `chat`."""
        if path in _LIMITS:
            return self.limit
        if (found := _PART.fullmatch(path)) and found[1] in self.places:
            return self.places[found[1]] + found[2]
        if found := _MESSAGE.fullmatch(path):
            message, call, rest = found[1], found[2] or "", found[3]
            place = self.places.get(message + call, "input")
            flat = {".tool_call_id": ".call_id", ".function.arguments": ".arguments"}.get(rest, rest)
            return place + flat if place.startswith("input[") else place
        if found := _TOOL.fullmatch(path):
            return self.places.get(found[1], found[1]) + (found[2] or "") + found[3]
        for pattern, name in _RENAMED:
            if found := pattern.match(path):
                path = found.expand(name) + path[found.end() :]
        return path


def translate(
    request: ConversationInput, items: Sequence[Placed], owner: str, ignored: Sequence[str] = ()
) -> Translation:
    """The chat request, without the fields `ignored`; raises InvalidRequestError for limits that differ or
    leave no answer, and for items that make no conversation.
    """
    reasoning = request.reasoning
    if reasoning is not None and reasoning.context == "current_turn":
        items = without_past_thoughts(items)
    box = toolbox(request.tools or (), items)
    told = {index: definitions(tools) for index, tools in box.told.items()}
    messages, places = conversation(request.instructions, items, owner, told)
    values: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "tools": box.tools or None,
        "tool_choice": box.choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
        "chat_template_kwargs": request.chat_template_kwargs,
        "response_format": _format(request),
        "reasoning_effort": None if reasoning is None else reasoning.effort,
        "verbosity": None if request.text is None or _VERBOSITY in ignored else request.text.verbosity,
    }
    limit = _LIMITS[0]
    if isinstance(request, ResponseRequest):
        limit = _limit(request)
        values |= {name: getattr(request, name) for name in _SAME}
        values["max_completion_tokens"] = getattr(request, limit)
        if LOGPROBS in (request.include or ()):
            values |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    # Every value has been validated as a part of the request.
    chat = ChatCompletionRequest.model_construct(**values)
    return Translation(chat, places | box.places, limit, box.spaces)


def without_effect(request: ConversationInput, template: PromptTemplate) -> list[str]:
    """Name the fields that a model's chat template makes nothing of."""
    verbosity = None if request.text is None else request.text.verbosity
    context = None if request.reasoning is None else request.reasoning.context
    found = []
    if verbosity not in (None, "medium") and "verbosity" not in template.variables:
        found.append(_VERBOSITY)
    if context == "all_turns" and not template.traits.shows_thoughts:
        found.append("reasoning.context")
    return found


def _limit(request: ResponseRequest) -> str:
    """The name under which the request limits the tokens; the first one where it does not.

    Unlike for a chat, 0 is refused: a response tells nothing of its prompt, so it would be empty.
    """
    used = [name for name in _LIMITS if getattr(request, name) is not None]
    for name in used:
        if getattr(request, name) == 0:
            raise InvalidValueError(name, "must be at least 1, or -1 for as many as there is room for")
    if len({getattr(request, name) for name in used}) > 1:
        message = f"'{used[0]}' and '{used[1]}' are two names of one parameter and differ."
        raise InvalidRequestError(message, param=used[1], code="invalid_value")
    return used[0] if used else _LIMITS[0]


def _format(request: ConversationInput) -> ResponseFormat | None:
    asked = None if request.text is None else request.text.format
    if not isinstance(asked, FlatSchemaFormat):
        return asked
    named = NamedSchema.model_validate(
        {
            "name": asked.name,
            "description": asked.description,
            "schema": asked.schema_,
            "strict": asked.strict,
        }
    )
    return JsonSchemaFormat(type="json_schema", json_schema=named)
