"""`POST /v1/chat/completions`."""

from caravan_schemas.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import describe_body, describe_events
from caravan.web.sse import RunResponse

router = APIRouter(tags=["chat"])


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    responses=describe_events(ChatCompletionChunk),
    openapi_extra=describe_body(ChatCompletionRequest),
)
async def create_chat_completion(request: Request, services: UseServices, context: UseContext) -> Response:
    """Answer a conversation; with `stream`, as events of `ChatCompletionChunk` and a last `[DONE]`.

    A failure before the first token is a status. After it, or after the first keep-alive comment, it is an
    event that holds an `ErrorResponse`, and no `[DONE]` follows.
    """
    body = await services.bodies.read(request, ChatCompletionRequest)
    return RunResponse(services.chat.run(body, context), services)
