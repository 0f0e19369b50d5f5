"""A conversation into prompt text: its size, what its template is told, which thought the prompt allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caravan_schemas.chat import ChatCompletionRequest, ConversationFields, ToolFields
from caravan_schemas.media import AudioPart, ImagePart
from caravan_schemas.messages import AssistantMessage, Message, ToolMessage, UserMessage

from caravan.api.prompt.tokenize import LEAST_LONGEST, too_long
from caravan.api.prompt.tools import ToolRequest, tool_request
from caravan.auth.principal import Principal
from caravan.chat.messages import normalize
from caravan.chat.parsing.stream_parser import ReasoningMarkers
from caravan.chat.rendering.prompt_template import GIVEN, PromptTemplate
from caravan.chat.rendering.turns import Conversation, Turn
from caravan.engine.params import Reasoning
from caravan.errors import (
    InvalidValueError,
    UnknownParameterError,
    UnsupportedParameterError,
)
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import FairLimiter

# What models call the switch of their thinking.
_SWITCHES = ("enable_thinking", "thinking")
# Efforts that ask for an answer without a thought.
_OFF = ("none", "minimal")
# Llama's templates take tools from here instead.
_RESERVED = GIVEN | {"custom_tools"}
# How models write an end where the bare marker would look to them like a slip in the midst of a thought.
_CLOSINGS = {
    "</think>": "\n</think>\n\n",
    "[BEGIN FINAL RESPONSE]": "\n[BEGIN FINAL RESPONSE]\n",
}
_FORMATS = ("none", "auto", "deepseek")
# A template takes a tenth of a millisecond for each message, part or call, and milliseconds for this text.
_MOST_PIECES = 1024
_MOST_CHARACTERS = 1024 * 1024
# By these begin marks of thoughts, which templates leave out of earlier answers.
_MAYBE_MARKS = ("<", "[")


def rendered(
    request: ConversationFields, model: LoadedModel, principal: Principal, *, has_to_fit: bool = False
) -> tuple[str, ToolRequest | None]:
    """Write the prompt of a conversation; returns the tools that it shows, too. Raises InvalidRequestError.

    One that `has_to_fit` into the context and cannot is refused early.
    """
    tools = tool_request(request) if request.sets_any_of(ToolFields) else None
    template = model.template_for(has_tools=tools is not None)
    given = _variables(request, template, can_think=model.family.reasoning is not None)
    shown = None if tools is None else [tool.shown() for tool in tools.offered]
    conversation = _conversation(request, given, shown)
    if has_to_fit:
        refuse_hopeless(model, conversation.turns)
    return template.write(conversation, principal, is_long=is_long(request)), tools


def _conversation(
    request: ConversationFields, variables: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] | None
) -> Conversation:
    """Collect what the prompt is written from; raises InvalidRequestError over what cannot be shown."""
    continues = bool(request.continue_final_message)
    if continues:
        _check_continuation(request)
    opens_answer = request.add_generation_prompt is not False
    return Conversation(normalize(request.messages), tools, variables, opens_answer, continues)


def _check_continuation(request: ConversationFields) -> None:
    if request.add_generation_prompt:
        raise InvalidValueError("add_generation_prompt", "and 'continue_final_message' do not go together")
    last = request.messages[-1]
    if not isinstance(last, AssistantMessage) or last.content is None or last.tool_calls:
        raise InvalidValueError(
            "continue_final_message", "needs a last message that is an assistant's, with content and no calls"
        )


def _variables(request: ConversationFields, template: PromptTemplate, *, can_think: bool) -> dict[str, Any]:
    """Collect the template's variables that the request sets; refuses what the template does not know."""
    given = dict(request.chat_template_kwargs or {})
    for name, value in list(given.items()):
        param = f"chat_template_kwargs.{name}"[:200]
        if name in _RESERVED:
            raise InvalidValueError(
                param, "cannot be set: the request has fields for it, or the model a value"
            )
        if name not in template.variables:
            if not (name in _SWITCHES and value is False):
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
    asked: dict[str, object] = dict.fromkeys(_SWITCHES, effort not in _OFF)
    asked["reasoning_effort"] = effort
    for name, value in asked.items():
        if name in template.variables and given.setdefault(name, value) != value:
            raise InvalidValueError("reasoning_effort", f"contradicts 'chat_template_kwargs.{name}'")
    return given


def _set_verbosity(request: ConversationFields, template: PromptTemplate, given: dict[str, Any]) -> None:
    asked = request.verbosity
    if asked is None:
        return
    if "verbosity" in template.variables:
        if given.setdefault("verbosity", asked) != asked:
            raise InvalidValueError("verbosity", "contradicts 'chat_template_kwargs.verbosity'")
    elif asked != "medium":
        raise UnsupportedParameterError(
            f"'verbosity' '{asked}' is not supported: the model's chat template does not know it.",
            param="verbosity",
        )


def has_media(messages: Sequence[Message]) -> bool:
    """Whether messages have more than text."""
    return any(
        isinstance(part, ImagePart | AudioPart)
        for message in messages
        if isinstance(message, UserMessage | ToolMessage) and not isinstance(message.content, str)
        for part in message.content
    )


def is_long(request: ConversationFields) -> bool:
    """Whether a conversation is so long that others should not wait for its prompt."""
    num_pieces = num_characters = 0
    for message in request.messages:
        content: Any = message.content or ""
        calls = getattr(message, "tool_calls", None) or ()
        num_pieces += 1 + len(calls)
        texts = [content] if isinstance(content, str) else [getattr(part, "text", "") for part in content]
        num_pieces += len(texts) - 1
        num_characters += sum(len(text) for text in texts if isinstance(text, str))
        if num_pieces > _MOST_PIECES or num_characters > _MOST_CHARACTERS:
            return True
    return False


def threads_for(request: ConversationFields, model: LoadedModel, usual: FairLimiter) -> FairLimiter:
    """Choose the places in which a prompt is written: long ones do not take the `usual` ones."""
    return model.long_threads if is_long(request) else usual


def refuse_hopeless(model: LoadedModel, turns: Sequence[Turn]) -> None:
    """Refuse a conversation that cannot fit, before the template runs. Raises ContextLengthError.

    It goes by the least number of tokens that the texts can have, without those that a template may leave
    out.
    """
    num_bytes = num_texts = 0
    for turn in turns:
        text = (turn.content or "").strip()
        if text and is_shown(turn.role, text):
            num_bytes += len(text.encode("utf-8", "replace"))
            num_texts += 1
    # Templates put words or line ends between texts, so that each has a token of its own.
    least = max(num_texts, num_bytes // max(model.vocab.longest_token, LEAST_LONGEST))
    if least >= model.context_size:
        raise too_long(model, f"at least {least}", "messages")


def is_shown(role: str, text: str) -> bool:
    """Whether any template shows a text: it may leave thoughts out of what the model has said."""
    return role != "assistant" or not any(mark in text for mark in _MAYBE_MARKS)


@dataclass(frozen=True)
class Thinking:
    """What a prompt leaves to the model: `is_open` where it ends inside a thought.

    With `is_content`, the thought stays in the content, between its markers. One that `is_controlled` may be
    ended from outside.
    """

    markers: ReasoningMarkers
    is_open: bool
    budget: int | None
    is_content: bool
    is_controlled: bool

    def reasoning(self, model: LoadedModel) -> Reasoning:
        """Describe it for the engine."""
        return Reasoning(
            start=self.markers.start,
            end=self.markers.end,
            is_open=self.is_open,
            budget=self.budget,
            is_controlled=self.is_controlled,
            start_token_ids=_token_ids(model, self.markers.start),
            end_token_ids=_token_ids(model, _CLOSINGS.get(self.markers.end, self.markers.end)),
        )


def thinking(request: ChatCompletionRequest, model: LoadedModel, prompt: str) -> Thinking | None:
    """Find out how the model may think in answer to this prompt; None where it cannot or may not.

    Raises InvalidRequestError over a budget that would have no effect, or an unknown format.
    """
    if request.reasoning_format not in (None, *_FORMATS):
        known = ", ".join(f"'{name}'" for name in _FORMATS)
        message = f"'reasoning_format' must be one of {known}."
        raise UnsupportedParameterError(message, param="reasoning_format")
    markers = model.family.reasoning
    budget = request.thinking_budget_tokens
    if markers is None:
        if budget is not None:
            raise UnsupportedParameterError(
                "'thinking_budget_tokens' is not supported: the model does not think.",
                param="thinking_budget_tokens",
            )
        return None
    is_open = model.family.is_open(prompt)
    if not is_open and _is_past(request, prompt, markers):
        if budget:
            raise InvalidValueError(
                "thinking_budget_tokens", "has no effect: thinking is off for this request"
            )
        return None
    has_switch = not model.template.variables.isdisjoint({*_SWITCHES, "reasoning_effort"})
    if budget is None and request.reasoning_effort in _OFF and not has_switch:
        budget = 0
    return Thinking(
        markers,
        is_open,
        budget,
        is_content=request.reasoning_format == "none",
        is_controlled=bool(request.reasoning_control),
    )


def past_thought(request: ChatCompletionRequest, model: LoadedModel, prompt: str) -> str:
    """Go on with a prompt to where the answer itself begins: what thought it leaves to the model is empty."""
    thought = thinking(request, model, prompt)
    if thought is not None:
        closing = _CLOSINGS.get(thought.markers.end, thought.markers.end)
        if thought.is_open:
            prompt += closing
        elif thought.budget == 0:
            prompt += f"{thought.markers.start}\n{closing}"
    opening = model.family.opening
    return prompt if prompt.rstrip().endswith(opening.rstrip()) else prompt + opening


def _is_past(request: ChatCompletionRequest, prompt: str, markers: ReasoningMarkers) -> bool:
    """Whether the answer has begun already, or the prompt has a complete thought, if an empty one."""
    is_begun = bool(request.continue_final_message)
    return is_begun or prompt.rstrip().endswith(markers.end.rstrip())


def _token_ids(model: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(model.vocab.tokenize(text, add_special=False, parse_special=True))


def _unknown(param: str, template: PromptTemplate) -> str:
    known = ", ".join(f"'{name}'" for name in sorted(template.variables))
    has = f"it has {known}" if known else "it has none"
    return f"Unknown parameter: '{param}'. The model's chat template has no such variable; {has}."
