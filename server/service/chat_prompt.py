"""A conversation into prompt text: the template and its variables, or an answer that goes on."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.chat import ConversationFields
from schemas.messages import AssistantMessage
from server.chat.messages import normalize
from server.chat.template import GIVEN, ChatTemplate
from server.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from server.loaded_model import LoadedModel
from server.service import tool_use
from server.service.tool_request import ToolRequest, tool_request

# What models call the switch of their thinking.
SWITCHES = ("enable_thinking", "thinking")
# Efforts that ask for an answer without a thought.
_OFF = ("none", "minimal")
# Llama's templates take tools from here instead.
_RESERVED = GIVEN | {"custom_tools"}


def rendered(request: ConversationFields, model: LoadedModel) -> tuple[str, ToolRequest | None]:
    """The prompt of a conversation, and the tools that it shows; raises InvalidRequestError."""
    tools = tool_request(request)
    if tools is not None:
        tool_use.check_support(tools, model)
    given = variables(request, model.template, can_think=model.family.reasoning is not None)
    shown = None if tools is None else [tool.shown() for tool in tools.offered]
    return prompt_text(request, model.template, given, shown), tools


def prompt_text(
    request: ConversationFields,
    template: ChatTemplate,
    variables: Mapping[str, Any],
    tools: Sequence[Mapping[str, object]] | None,
) -> str:
    """The prompt; raises InvalidRequestError over messages that cannot be shown."""
    messages = normalize(request.messages, template)
    if not request.continue_final_message:
        opens_answer = request.add_generation_prompt is not False
        return template.render(messages, add_generation_prompt=opens_answer, tools=tools, variables=variables)
    _check_continuation(request)
    # Templates put text behind a message, and some trim it; what stands before the mark is what is meant.
    mark = f"<{uuid.uuid4().hex}>"
    messages[-1]["content"] = f"{messages[-1]['content']}{mark}"
    text = template.render(messages, add_generation_prompt=False, tools=tools, variables=variables)
    if text.count(mark) != 1:
        raise _refusal(
            "continue_final_message", "is not possible: the chat template does not show the message"
        )
    return text[: text.index(mark)]


def _check_continuation(request: ConversationFields) -> None:
    if request.add_generation_prompt:
        raise _refusal("add_generation_prompt", "and 'continue_final_message' do not go together")
    last = request.messages[-1]
    if not isinstance(last, AssistantMessage) or last.content is None or last.tool_calls:
        raise _refusal(
            "continue_final_message", "needs a last message that is an assistant's, with content and no calls"
        )


def variables(request: ConversationFields, template: ChatTemplate, *, can_think: bool) -> dict[str, Any]:
    """What the request says to the template beside messages and tools; what it cannot hear is refused."""
    given = dict(request.chat_template_kwargs or {})
    for name, value in list(given.items()):
        param = f"chat_template_kwargs.{name}"[:200]
        if name in _RESERVED:
            raise _refusal(param, "cannot be set: the request has fields for it, or the model a value")
        if name not in template.variables:
            if not (name in SWITCHES and value is False):
                raise UnknownParameterError(_unknown(param, template), param=param)
            del given[name]
    _set_verbosity(request, template, given)
    effort = request.reasoning_effort
    if effort is None:
        return given
    if not can_think and effort not in _OFF:
        raise UnsupportedParameterError(
            f"'reasoning_effort' '{effort}' is not supported: the model does not think.",
            param="reasoning_effort",
        )
    asked: dict[str, object] = dict.fromkeys(SWITCHES, effort not in _OFF)
    asked["reasoning_effort"] = effort
    for name, value in asked.items():
        if name in template.variables and given.setdefault(name, value) != value:
            raise _refusal("reasoning_effort", f"contradicts 'chat_template_kwargs.{name}'")
    return given


def _set_verbosity(request: ConversationFields, template: ChatTemplate, given: dict[str, Any]) -> None:
    asked = request.verbosity
    if asked is None:
        return
    if "verbosity" in template.variables:
        if given.setdefault("verbosity", asked) != asked:
            raise _refusal("verbosity", "contradicts 'chat_template_kwargs.verbosity'")
    elif asked != "medium":
        raise UnsupportedParameterError(
            f"'verbosity' '{asked}' is not supported: the model's chat template does not know it.",
            param="verbosity",
        )


def is_thinking_refused(request: ConversationFields, template: ChatTemplate) -> bool:
    """Whether the request wants no thought, and the template has no word for that."""
    has_words = not template.variables.isdisjoint({*SWITCHES, "reasoning_effort"})
    return request.reasoning_effort in _OFF and not has_words


def _unknown(param: str, template: ChatTemplate) -> str:
    known = ", ".join(f"'{name}'" for name in sorted(template.variables))
    has = f"it has {known}" if known else "it has none"
    return f"Unknown parameter: '{param}'. The model's chat template has no such variable; {has}."


def _refusal(param: str, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{param}' {complaint}.", param=param, code="invalid_value")
