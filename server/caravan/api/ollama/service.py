"""Serves what makes text and vectors in Ollama's API, by the services of chats, texts and embeddings."""

import time
import uuid
from collections.abc import Callable
from functools import partial

from caravan_schemas.chat import ChatCompletionRequest
from caravan_schemas.keep_alive import seconds_of
from caravan_schemas.ollama import OllamaAnswerFields, OllamaChatRequest, OllamaGenerateRequest
from caravan_schemas.ollama_options import Done, OllamaFields

from caravan.api.chat import ChatService
from caravan.api.completions import CompletionService
from caravan.api.context import RequestContext
from caravan.api.embeddings import EmbeddingService
from caravan.api.ollama.embeddings import OllamaEmbeddings
from caravan.api.ollama.models import OllamaModels
from caravan.api.ollama.names import find
from caravan.api.ollama.options import report_unused
from caravan.api.ollama.run import OllamaRun, nanoseconds
from caravan.api.ollama.to_chat import (
    Translated,
    chat_of,
    generation_of,
    named_in_chat,
    named_in_generate,
)
from caravan.api.ollama.writer import Kind, LineWriter, Piece
from caravan.api.output.encoding import to_event
from caravan.api.params.decoding_plan import DecodingPlanner
from caravan.api.prepared import Prepared
from caravan.api.structured.compiler import UNENFORCED
from caravan.api.validation.rewording import rewording
from caravan.models import ModelRegistry
from caravan.models.loaded_model import LoadedModel

Answered = OllamaChatRequest | OllamaGenerateRequest


def asks_nothing(request: Answered) -> bool:
    """Whether a request has nothing to answer: it is about loading alone."""
    if isinstance(request, OllamaChatRequest):
        return not request.messages
    return not (request.prompt or request.suffix or request.raw or request.images)


def asks_to_unload(request: OllamaFields) -> bool:
    """Whether a request that asks nothing wants its model unloaded."""
    return request.keep_alive is not None and seconds_of(request.keep_alive) == 0


class OllamaService:
    """Serves `/api/chat` and `/api/generate` for all models of a registry, and has what serves the rest."""

    def __init__(
        self,
        registry: ModelRegistry,
        decoding: DecodingPlanner,
        chat: ChatService,
        completions: CompletionService,
        embeddings: EmbeddingService,
    ) -> None:
        self.embeddings = OllamaEmbeddings(registry, embeddings)
        self.models = OllamaModels(registry, decoding)
        self._registry = registry
        self._chat = chat
        self._completions = completions

    def run(self, request: Answered, context: RequestContext) -> OllamaRun:
        """Make the run of a request. Raises InvalidRequestError over what needs no model to be refused."""
        report_unused(request, context)
        model = find(self._registry, request.model, context.principal)
        context.note_stay(request.keep_alive, model, self._registry)
        kind, named = _kind(request), _named(request)
        with rewording(named):
            if isinstance(request, OllamaChatRequest):
                asked: Translated = chat_of(request, model)
            else:
                asked = generation_of(request, model)
        return OllamaRun(
            self._registry,
            model,
            partial(self._prepare, asked, named, context),
            context,
            LineWriter(kind, request.model),
            stream=request.stream is not False,
            tells_logprobs=bool(request.logprobs),
        )

    async def load(self, request: Answered, context: RequestContext, *, unloads: bool = False) -> bytes:
        """Load the model of a request that asks nothing, or unload it; the caller may do that."""
        principal = context.principal
        model = find(self._registry, request.model, principal)
        done: Done = "unload" if unloads else "load"
        if unloads:
            await self._registry.unload(model, principal)
        else:
            report_unused(request, context)
            context.note_stay(request.keep_alive, model, self._registry)
            async with context.holding(self._registry, model):
                pass
        duration = nanoseconds(time.monotonic() - context.metrics.arrived)
        writer = LineWriter(_kind(request), request.model)
        return to_event(writer.line(Piece(), None, {"done_reason": done, "total_duration": duration}))

    async def _prepare(
        self, asked: Translated, named: Callable[[str], str], context: RequestContext, model: LoadedModel
    ) -> Prepared:
        request_id = f"ollama-{uuid.uuid4().hex}"
        with rewording(named):
            if isinstance(asked, ChatCompletionRequest):
                prepared = await self._chat.prepare(asked, request_id, context, model)
            else:
                # What is not limited goes on, unlike in OpenAI's API.
                prepared = await self._completions.prepare(
                    asked, request_id, context, model, default_max_tokens=None
                )
        context.metrics.rename(UNENFORCED, named)
        return prepared


def _kind(request: OllamaAnswerFields) -> Kind:
    return "chat" if isinstance(request, OllamaChatRequest) else "generate"


def _named(request: OllamaAnswerFields) -> Callable[[str], str]:
    return named_in_chat if isinstance(request, OllamaChatRequest) else named_in_generate
