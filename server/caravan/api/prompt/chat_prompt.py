"""A conversation into prompt text: the template and its variables, or an answer that goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

from caravan_schemas.chat import ConversationFields
from caravan_schemas.messages import AssistantMessage

from caravan.api.prompt import tool_constraints
from caravan.api.prompt.conversation_size import is_long, refuse_hopeless
from caravan.api.prompt.tools import ToolRequest, tool_request
from caravan.auth.principal import Principal
from caravan.chat.messages import normalize
from caravan.chat.rendering.prompt_template import PromptTemplate
from caravan.chat.rendering.turns import Conversation
from caravan.chat.template_source import GIVEN
from caravan.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError
from caravan.models.loaded_model import LoadedModel

# What models call the switch of their thinking.
SWITCHES = ("enable_thinking", "thinking")
# Efforts that ask for an answer without a thought.
_OFF = ("none", "minimal")
# Llama's templates take tools from here instead.
_RESERVED = GIVEN | {"custom_tools"}


def rendered(
    request: ConversationFields, model: LoadedModel, principal: Principal, *, has_to_fit: bool = False
) -> tuple[str, ToolRequest | None]:
    """The prompt of a conversation, and the tools that it shows; raises InvalidRequestError.

    One that `has_to_fit` into the context and cannot is refused early.
    """
    tools = tool_request(request)
    template = model.template_for(has_tools=tools is not None)
    if tools is not None:
        tool_constraints.check_support(tools, model)
    given = variables(request, template, can_think=model.family.reasoning is not None)
    shown = None if tools is None else [tool.shown() for tool in tools.offered]
    conversation = conversation_of(request, given, shown)
    if has_to_fit:
        refuse_hopeless(model, conversation.turns)
    return template.write(conversation, principal, is_long=is_long(request)), tools


def conversation_of(
    request: ConversationFields, variables: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] | None
) -> Conversation:
    """What the prompt is written from; raises InvalidRequestError over messages that cannot be shown."""
    continues = bool(request.continue_final_message)
    if continues:
        _check_continuation(request)
    opens_answer = request.add_generation_prompt is not False
    return Conversation(normalize(request.messages), tools, variables, opens_answer, continues)


def _check_continuation(request: ConversationFields) -> None:
    if request.add_generation_prompt:
        raise _refusal("add_generation_prompt", "and 'continue_final_message' do not go together")
    last = request.messages[-1]
    if not isinstance(last, AssistantMessage) or last.content is None or last.tool_calls:
        raise _refusal(
            "continue_final_message", "needs a last message that is an assistant's, with content and no calls"
        )


def variables(request: ConversationFields, template: PromptTemplate, *, can_think: bool) -> dict[str, Any]:
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


def _set_verbosity(request: ConversationFields, template: PromptTemplate, given: dict[str, Any]) -> None:
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


def is_thinking_refused(request: ConversationFields, template: PromptTemplate) -> bool:
    """Whether the request wants no thought, and the template has no word for that."""
    has_words = not template.variables.isdisjoint({*SWITCHES, "reasoning_effort"})
    return request.reasoning_effort in _OFF and not has_words


def _unknown(param: str, template: PromptTemplate) -> str:
    known = ", ".join(f"'{name}'" for name in sorted(template.variables))
    has = f"it has {known}" if known else "it has none"
    return f"Unknown parameter: '{param}'. The model's chat template has no such variable; {has}."


def _refusal(param: str, complaint: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{param}' {complaint}.", param=param, code="invalid_value")
