"""llama.cpp's own routes, as its server has them."""

from caravan_schemas.llama_cpp import ControlAnswer, ControlRequest, InfillRequest, LlamaCompletionRequest
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


@router.post(
    "/v1/chat/completions/control",
    response_model_exclude_unset=True,
    openapi_extra=describe_body(ControlRequest),
)
async def control_chat(request: Request, services: UseServices, context: UseContext) -> ControlAnswer:
    """End the thought of a chat of the caller's that is running, if it has `reasoning_control`."""
    body = await services.bodies.read(request, ControlRequest)
    return services.llama_cpp.control(body, context.principal)
