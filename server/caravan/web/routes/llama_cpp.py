"""llama.cpp's own routes, as its server has them."""

from caravan_schemas.llama_cpp import InfillRequest, LlamaCompletionRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body, describe_events
from caravan.web.sse import RunResponse

router = APIRouter(tags=["llama.cpp"])


@router.post("/completions", include_in_schema=False)
@router.post("/completion", responses=describe_events(), openapi_extra=describe_body(LlamaCompletionRequest))
async def llama_completion(request: Request, services: UseServices, context: UseContext) -> Response:
    """Continue a text."""
    body = await services.bodies.read(request, LlamaCompletionRequest)
    return RunResponse(services.llama_cpp.run(body, context), services)


@router.post("/infill", responses=describe_events(), openapi_extra=describe_body(InfillRequest))
async def llama_infill(request: Request, services: UseServices, context: UseContext) -> Response:
    """Fill the gap between two pieces of code, with pieces of other files at hand."""
    body = await services.bodies.read(request, InfillRequest)
    return RunResponse(services.llama_cpp.run(body, context), services)
