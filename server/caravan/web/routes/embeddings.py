"""`POST /v1/embeddings`."""

from caravan_schemas.embeddings import EmbeddingList, EmbeddingRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body
from caravan.web.sse import respond_whole

router = APIRouter(tags=["embeddings"])


@router.post("/v1/embeddings", response_model=EmbeddingList, openapi_extra=describe_body(EmbeddingRequest))
async def create_embeddings(request: Request, services: UseServices, context: UseContext) -> Response:
    """Vectors of texts, by an embedding model or a chat model; streams of the same model go on meanwhile."""
    body = await services.bodies.read(request, EmbeddingRequest)
    return await respond_whole(request, services.embeddings.create(body, context))
