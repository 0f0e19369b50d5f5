"""`POST /v1/completions`."""

from fastapi import APIRouter, Request, Response

from schemas.completions import Completion, CompletionRequest
from server.routes.body import described, read_request, streamed
from server.routes.deps import UseServices
from server.routes.sse import respond

router = APIRouter(tags=["completions"])


@router.post(
    "/v1/completions",
    response_model=Completion,
    responses=streamed(Completion),
    openapi_extra=described(CompletionRequest),
)
async def create_completion(request: Request, services: UseServices) -> Response:
    """Continue a text; with `stream`, as events of `Completion` and a last `[DONE]`.

    Failures come as in `POST /v1/chat/completions`.
    """
    body = await read_request(request, CompletionRequest, services)
    return await respond(request, services.completions.answer(body), services)
