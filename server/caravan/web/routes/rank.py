"""`POST /v1/rerank`, also at Cohere's and older paths, and `POST /v1/score`."""

from caravan_schemas.rank import PairScores, Reranking, RerankRequest, ScoreRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body
from caravan.web.sse import respond_whole

router = APIRouter(tags=["rank"])


@router.post("/v1/rerank", response_model=Reranking, openapi_extra=describe_body(RerankRequest))
@router.post("/v2/rerank", response_model=Reranking, openapi_extra=describe_body(RerankRequest))
@router.post("/rerank", response_model=Reranking, openapi_extra=describe_body(RerankRequest))
async def rerank(request: Request, services: UseServices, context: UseContext) -> Response:
    """Sort documents by how well they meet a query: how likely the model says yes to each."""
    body = await services.bodies.read(request, RerankRequest)
    return await respond_whole(request, services.rank.rerank(body, context))


@router.post("/v1/score", response_model=PairScores, openapi_extra=describe_body(ScoreRequest))
async def score(request: Request, services: UseServices, context: UseContext) -> Response:
    """How well texts meet others, pair by pair."""
    body = await services.bodies.read(request, ScoreRequest)
    return await respond_whole(request, services.rank.score(body, context))
