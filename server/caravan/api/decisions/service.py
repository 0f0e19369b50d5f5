"""Decisions, as OpenAI's route has them: how likely each of a question's answers is, without writing any."""

import uuid
from collections.abc import Sequence
from functools import partial

from caravan_schemas.decisions import (
    Answer,
    Decision,
    DecisionInputDetails,
    DecisionOutputDetails,
    DecisionRequest,
    DecisionUsage,
)

from caravan.api.context import RequestContext
from caravan.api.decisions.label_tokens import Labelled, end_ids
from caravan.api.decisions.probabilities import LabelScore, shares
from caravan.api.decisions.prompts import PromptWriter, all_of
from caravan.api.decisions.questions import answer, asked
from caravan.api.decisions.scoring import Scoring, scored
from caravan.api.output.encoding import to_json
from caravan.api.prompt.tokenize import check_generates
from caravan.auth.principal import Principal
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel

# Questions and items of an input whose prompts are written in a moment.
_FEW = 64


class DecisionService:
    """Serves `POST /v1/decisions` for all models of a registry."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def create(self, request: DecisionRequest, context: RequestContext) -> bytes:
        """Write the answer as JSON. Cancelling it aborts the work in the engine."""
        who = context.principal.asking(request.priority)
        read = partial(_scoring, request, principal=who)
        is_much = _size(request) > _FEW
        async with context.holding(self._registry, request.model) as model:
            found = await scored(model, request.model, context, who, read, is_much=is_much)
        answers, usage = _answers(request, found.scores), _usage(found.scoring)
        return to_json(Decision(model=found.model.name, answers=answers, usage=usage))


def _size(request: DecisionRequest) -> int:
    num_items = 1 if isinstance(request.input, str) else len(request.input)
    num_characters = len(request.input) if isinstance(request.input, str) else 0
    return len(request.questions) + num_items + num_characters // 4096


def _scoring(request: DecisionRequest, model: LoadedModel, principal: Principal) -> Scoring:
    """Read the request; whatever can refuse it does so here. Raises InvalidRequestError."""
    check_generates(model)
    ends = end_ids(model)
    prompts = _prompts(request, model, principal)
    return Scoring(model, prompts, ends, f"dec-{uuid.uuid4().hex}", principal)


def _prompts(request: DecisionRequest, model: LoadedModel, principal: Principal) -> list[Labelled]:
    """Read the prompts of all questions, and after them, if they are needed, those without the input."""
    writer = PromptWriter(request, model, principal)
    params = [f"questions[{index}]" for index in range(len(request.questions))]
    read = [asked(question, param) for question, param in zip(request.questions, params, strict=True)]
    told = [(True, each, param) for each, param in zip(read, params, strict=True)]
    if request.normalization == "prior":
        told += [(False, each, param) for each, param in zip(read, params, strict=True)]
    written = (writer.write(each, param, has_input=has_input) for has_input, each, param in told)
    return all_of(written, "questions")


def _answers(request: DecisionRequest, scores: Sequence[list[LabelScore]]) -> list[Answer]:
    how = request.normalization or "none"
    count = len(request.questions)
    return [
        answer(question, shares(scores[index], how, scores[count + index] if how == "prior" else None))
        for index, question in enumerate(request.questions)
    ]


def _usage(scoring: Scoring) -> DecisionUsage:
    num_input, num_output = scoring.num_prompt_tokens, scoring.num_label_tokens
    return DecisionUsage(
        input_tokens=num_input,
        input_tokens_details=DecisionInputDetails(
            cached_tokens=scoring.num_cached_tokens,
            cache_write_tokens=num_input - scoring.num_cached_tokens,
        ),
        output_tokens=num_output,
        output_tokens_details=DecisionOutputDetails(reasoning_tokens=0),
        total_tokens=num_input + num_output,
    )
