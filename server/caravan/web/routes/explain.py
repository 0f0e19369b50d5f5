"""`POST /v1/decoding/explain`."""

from caravan_schemas.explanations import ExplainRequest, Explanation
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body
from caravan.web.sse import RunResponse

router = APIRouter(tags=["decoding"])


@router.post("/v1/decoding/explain", response_model=Explanation, openapi_extra=describe_body(ExplainRequest))
async def explain_decoding(request: Request, services: UseServices, context: UseContext) -> Response:
    """Draw some tokens and tell, stage by stage, how each came about; also with other parameters beside."""
    body = await services.bodies.read(request, ExplainRequest)
    return RunResponse(services.explanations.run(body, context), services)
