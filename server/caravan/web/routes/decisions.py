"""`POST /v1/decisions`."""

from caravan_schemas.decisions import Decision, DecisionRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body
from caravan.web.sse import respond_whole

router = APIRouter(tags=["decisions"])


@router.post("/v1/decisions", response_model=Decision, openapi_extra=describe_body(DecisionRequest))
async def create_decision(request: Request, services: UseServices, context: UseContext) -> Response:
    """How likely the answers of questions about one input are; nothing is written, the labels are scored."""
    body = await services.bodies.read(request, DecisionRequest)
    return await respond_whole(request, services.decisions.create(body, context))
