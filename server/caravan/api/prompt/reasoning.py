"""Whether a model may think before this answer, for how long, and where its thought goes."""

from dataclasses import dataclass

from caravan_schemas.chat import ChatCompletionRequest

from caravan.api.prompt.chat_prompt import is_thinking_refused
from caravan.chat.parsing.tag_parser import ReasoningMarkers
from caravan.engine.params import Reasoning
from caravan.errors import InvalidRequestError, UnsupportedParameterError
from caravan.models.loaded_model import LoadedModel

# How models write an end where the bare marker would look to them like a slip in the midst of a thought.
_CLOSINGS = {
    "</think>": "\n</think>\n\n",
    "[BEGIN FINAL RESPONSE]": "\n[BEGIN FINAL RESPONSE]\n",
}
_FORMATS = ("none", "auto", "deepseek")


@dataclass(frozen=True)
class Thinking:
    """What a prompt leaves to the model: `is_open` where it ends inside a thought."""

    markers: ReasoningMarkers
    is_open: bool
    budget: int | None

    def reasoning(self, model: LoadedModel) -> Reasoning:
        """The same for the engine."""
        return Reasoning(
            start=self.markers.start,
            end=self.markers.end,
            is_open=self.is_open,
            budget=self.budget,
            start_token_ids=_token_ids(model, self.markers.start),
            end_token_ids=_token_ids(model, _CLOSINGS.get(self.markers.end, self.markers.end)),
        )


def thinking(request: ChatCompletionRequest, model: LoadedModel, prompt: str) -> Thinking | None:
    """How the model may think in answer to this prompt; None where it cannot, or the prompt forbids it.

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
            raise InvalidRequestError(
                "'thinking_budget_tokens' has no effect: thinking is off for this request.",
                param="thinking_budget_tokens",
                code="invalid_value",
            )
        return None
    if budget is None and is_thinking_refused(request, model.template):
        budget = 0
    return Thinking(markers, is_open, budget)


def _is_past(request: ChatCompletionRequest, prompt: str, markers: ReasoningMarkers) -> bool:
    """Whether the answer has begun, or the prompt holds its thought, if an empty one."""
    is_begun = bool(request.continue_final_message)
    return is_begun or prompt.rstrip().endswith(markers.end.rstrip())


def _token_ids(model: LoadedModel, text: str) -> tuple[int, ...]:
    return tuple(model.vocab.tokenize(text, add_special=False, parse_special=True))
