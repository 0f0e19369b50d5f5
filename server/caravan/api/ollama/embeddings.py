"""Vectors as Ollama's two routes have them."""

import time

import msgspec
from caravan_schemas.embeddings import EmbeddingRequest
from caravan_schemas.ollama import OllamaEmbeddingsRequest, OllamaEmbedRequest

from caravan.api.context import RequestContext
from caravan.api.embeddings import FEW, Embedded, EmbeddingService, numbers_of
from caravan.api.ollama.names import find
from caravan.api.ollama.options import report_unused
from caravan.api.ollama.run import nanoseconds
from caravan.api.validation.rewording import rewording
from caravan.models import ModelRegistry
from caravan.runtime.threads import in_busy_thread, in_thread


class OllamaEmbeddings:
    """Serves `/api/embed` and `/api/embeddings`. Without a text they load the model."""

    def __init__(self, registry: ModelRegistry, embeddings: EmbeddingService) -> None:
        self._registry = registry
        self._embeddings = embeddings

    async def embed(self, request: OllamaEmbedRequest, context: RequestContext) -> list[bytes]:
        """Write the vectors of all inputs as JSON, in pieces."""
        report_unused(request, context, all_options=True)
        context.metrics.ignore(["truncate"] if request.truncate else [])
        found = await self._made(request, request.input, request.dimensions, context)
        run = in_thread if len(found.vectors) <= FEW else in_busy_thread
        rows = await run(_rows, found, request.dimensions)
        told = {
            "total_duration": nanoseconds(time.monotonic() - context.metrics.arrived),
            "load_duration": nanoseconds(found.load_seconds),
            "prompt_eval_count": found.num_tokens,
        }
        head = b'{"model":%b,"embeddings":[' % msgspec.json.encode(request.model)
        return [head, *rows, b"],%b" % msgspec.json.encode(told)[1:]]

    async def embed_one(self, request: OllamaEmbeddingsRequest, context: RequestContext) -> bytes:
        """Write the vector of the prompt as JSON."""
        report_unused(request, context, all_options=True)
        with rewording(lambda path: "prompt" if path == "input" else path):
            found = await self._made(request, request.prompt or "", None, context)
        return b'{"embedding":%b}' % (b"".join(_rows(found, None)) or b"[]")

    async def _made(
        self,
        request: OllamaEmbedRequest | OllamaEmbeddingsRequest,
        given: str | list[str],
        dimensions: int | None,
        context: RequestContext,
    ) -> Embedded:
        model = find(self._registry, request.model, context.principal)
        context.note_stay(request.keep_alive, model, self._registry)
        if given:
            asked = EmbeddingRequest(
                model=model, input=given, dimensions=dimensions, priority=request.priority
            )
            return await self._embeddings.embed(asked, context)
        begun = time.monotonic()
        async with context.holding(self._registry, model):
            return Embedded([], 0, time.monotonic() - begun)


def _rows(found: Embedded, dimensions: int | None) -> list[bytes]:
    """Write the vectors one by one, with the commas between them: there may be millions of numbers."""
    rows = [msgspec.json.encode(numbers_of(vector, dimensions).tolist()) for vector in found.vectors]
    return [b"," + row if index else row for index, row in enumerate(rows)]
