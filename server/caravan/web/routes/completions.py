"""`POST /v1/completions`."""

from caravan_schemas.completions import Completion, CompletionRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body, describe_events
from caravan.web.sse import RunResponse

router = APIRouter(tags=["completions"])


@router.post(
    "/v1/completions",
    response_model=Completion,
    responses=describe_events(Completion),
    openapi_extra=describe_body(CompletionRequest),
)
async def create_completion(request: Request, services: UseServices, context: UseContext) -> Response:
    """Continue a text; with `stream`, as events of `Completion` and a last `[DONE]`.

    Failures come as in `POST /v1/chat/completions`.
    """
    body = await services.bodies.read(request, CompletionRequest)
    return RunResponse(services.completions.run(body, context), services)
