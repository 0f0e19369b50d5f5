"""Text completions: one prompt or several, as text or as token ids."""

from functools import partial
from typing import cast

import anyio.to_thread

from schemas.completions import CompletionRequest, Prompt
from server.errors import InvalidRequestError
from server.loaded_model import LoadedModel
from server.registry import ModelRegistry
from server.service import sampling
from server.service.answers import Answer
from server.service.choices import Identity, TextShape
from server.service.constraints.compiler import ConstraintCompiler, constraint, verdict
from server.service.generation import Generation, Guidance
from server.service.logprobs import writer
from server.service.pending import PendingAnswer
from server.service.plan import Plan
from server.service.prompts import checked_ids, tokenized
from server.service.sampling import Decoding

DEFAULT_MAX_TOKENS = 16


class CompletionService:
    """Serves `POST /v1/completions` for all models of a registry."""

    def __init__(self, registry: ModelRegistry, decoding: Decoding, constraints: ConstraintCompiler) -> None:
        self._registry = registry
        self._decoding = decoding
        self._constraints = constraints

    def answer(self, request: CompletionRequest) -> PendingAnswer:
        """The answer to a request, of which nothing has happened yet."""
        prepare = partial(self._prepare, request)
        return PendingAnswer(self._registry, request.model, prepare, stream=bool(request.stream))

    async def _prepare(self, request: CompletionRequest, model: LoadedModel) -> Answer:
        """Everything that can refuse the request happens here; nothing has reached the engine yet."""
        with_usage = sampling.wants_usage_chunk(request)
        plan, prompts = await anyio.to_thread.run_sync(self._read, model, request)
        compiled = await self._constraints.compile(request, model.vocab)
        identity = Identity.new("cmpl", request.model)
        guidance = Guidance(constraint=constraint(compiled))
        return Answer(
            Generation(model, identity.id, prompts, plan.params, plan.num_drawn, guidance),
            TextShape(identity, with_usage=with_usage, writer=writer(model.vocab, plan.params)),
            plan,
            verdict(compiled, plan.params),
            stream=bool(request.stream),
            with_usage=with_usage,
        )

    def _read(self, model: LoadedModel, request: CompletionRequest) -> tuple[Plan, list[tuple[int, ...]]]:
        plan = self._decoding.plan(request, model, DEFAULT_MAX_TOKENS, num_logprobs=request.logprobs)
        return plan, _prompts(model, request, self._decoding.limits.max_prompts)


def _prompts(model: LoadedModel, request: CompletionRequest, limit: int) -> list[tuple[int, ...]]:
    named = _named(request.prompt)
    if len(named) > limit:
        message = f"'prompt' must have at most {limit} prompts."
        raise InvalidRequestError(message, param="prompt", code="invalid_value")
    return [
        tokenized(model, prompt, param=param)
        if isinstance(prompt, str)
        else checked_ids(model, prompt, param=param)
        for param, prompt in named
    ]


def _named(prompt: Prompt) -> list[tuple[str, str | list[int]]]:
    """The prompts of a request, each with the path by which errors call it."""
    if isinstance(prompt, str):
        return [("prompt", prompt)]
    # The schema saw to it that either all items are ids or none is.
    items = cast("list[str | list[int] | int]", prompt)
    token_ids = [item for item in items if isinstance(item, int)]
    if token_ids:
        return [("prompt", token_ids)]
    return [(f"prompt[{index}]", item) for index, item in enumerate(items) if not isinstance(item, int)]
