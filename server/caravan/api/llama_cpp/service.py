"""Serves llama.cpp's own routes, by the service of text completions."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import msgspec
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.llama_cpp import (
    ControlAnswer,
    ControlRequest,
    InfillRequest,
    LlamaCompletionRequest,
    LlamaEmbeddingRequest,
)

from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.embeddings import EmbeddingService, numbers_of
from caravan.api.llama_cpp.infill import read_gap
from caravan.api.llama_cpp.props import LlamaCppProps
from caravan.api.llama_cpp.run import LlamaCppRun
from caravan.api.llama_cpp.to_completion import completion_of, sources_of
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.prepared import Prepared
from caravan.api.validation.rewording import rewording
from caravan.auth.principal import Principal
from caravan.errors import InvalidValueError
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel
from caravan.runtime.threads import in_busy_thread

# llama.cpp's words.
_NO_COMPLETION = "no active completion for this id"
_NO_CONTROL = "reasoning control not enabled for this completion"


class LlamaCppService:
    """Serves `/completion`, `/infill` and what tells of models, for all models of a registry."""

    def __init__(
        self,
        registry: ModelRegistry,
        decoding: DecodingPlanner,
        completions: CompletionService,
        embeddings: EmbeddingService,
    ) -> None:
        self.props = LlamaCppProps(registry, decoding)
        self._registry = registry
        self._completions = completions
        self._embeddings = embeddings

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

    async def embed(self, request: LlamaEmbeddingRequest, context: RequestContext) -> list[bytes]:
        """Write the vectors of texts as JSON, in pieces."""
        asked = EmbeddingRequest.model_construct(
            model=request.model, input=request.content, priority=request.priority
        )
        with rewording(lambda path: re.sub(r"^input\b", "content", path)):
            found = await self._embeddings.embed(asked, context)
        return await in_busy_thread(_vectors, found.vectors)

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


def _vectors(vectors: Sequence[bytes]) -> list[bytes]:
    """Write the vectors one by one: there may be millions of numbers."""
    document = [b"["]
    for index, vector in enumerate(vectors):
        written = {"index": index, "embedding": [numbers_of(vector, None).tolist()]}
        document += (b"," if index else b"", msgspec.json.encode(written))
    return [*document, b"]"]
