"""Serves llama.cpp's own routes, by the service of text completions."""

import uuid
from dataclasses import replace
from functools import partial

import msgspec
from caravan_schemas.llama_cpp import ControlAnswer, ControlRequest, InfillRequest, LlamaCompletionRequest

from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.llama_cpp.infill import read_gap
from caravan.api.llama_cpp.run import LlamaCppRun
from caravan.api.llama_cpp.to_completion import completion_of, sources_of
from caravan.api.prepared import Prepared
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel

# llama.cpp's words.
_NO_COMPLETION = "no active completion for this id"
_NO_CONTROL = "reasoning control not enabled for this completion"


class LlamaCppService:
    """Serves `/completion`, `/infill` and what tells of models, for all models of a registry."""

    def __init__(self, registry: ModelRegistry, completions: CompletionService) -> None:
        self._registry = registry
        self._completions = completions

    def run(self, request: LlamaCompletionRequest | InfillRequest, context: RequestContext) -> LlamaCppRun:
        """Make the run of a request; nothing has happened yet."""
        return LlamaCppRun(self._registry, request, partial(self._prepare, request, context), context)

    def control(self, request: ControlRequest, principal: Principal) -> ControlAnswer:
        """End the thought of a chat of the caller's. Raises ModelNotFoundError over a model that is named."""
        specs = [self._registry.find(request.model, principal)] if request.model else self._registry.specs
        models = filter(None, (self._registry.loaded(spec.id) for spec in specs))
        found = [model.engine.end_thoughts(request.id, principal.id) for model in models]
        if any(found):
            return ControlAnswer(success=True)
        return ControlAnswer(success=False, message=_NO_CONTROL if False in found else _NO_COMPLETION)

    async def _prepare(
        self, request: LlamaCompletionRequest | InfillRequest, context: RequestContext, model: LoadedModel
    ) -> Prepared:
        prepared = await self._completions.prepare(
            completion_of(request, context),
            f"cmpl-{uuid.uuid4().hex}",
            context,
            model,
            # What is not limited goes on, unlike in OpenAI's API.
            default_max_tokens=None,
            sources=[partial(read_gap, request)]
            if isinstance(request, InfillRequest)
            else sources_of(request),
        )
        params = prepared.plan.params
        tells_drawn = bool(request.post_sampling_probs)
        for name, is_on in (
            ("mirostat", params.mirostat > 0),
            ("adaptive_target", params.adaptive_target >= 0),
        ):
            if tells_drawn and is_on:
                raise InvalidValueError(
                    "post_sampling_probs", f"and '{name}' do not go together: it weighs tokens while it draws"
                )
        params = msgspec.structs.replace(params, tells_drawn=tells_drawn)
        tells_tokens = bool(request.return_tokens or request.stream)
        requests = [
            msgspec.structs.replace(one, params=params, tells_token_ids=tells_tokens)
            for one in prepared.requests
        ]
        return replace(prepared, requests=requests)
