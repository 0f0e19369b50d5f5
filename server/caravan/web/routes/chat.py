"""`/v1/chat/completions`, with what it keeps."""

from caravan_schemas.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, DeletedChat
from caravan_schemas.common import ObjectList
from caravan_schemas.metadata import MetadataRequest
from caravan_schemas.queries import ChatsQuery, MessagesQuery
from fastapi import APIRouter, Request, Response

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse
from caravan.web.openapi import describe_body, describe_events, describe_query
from caravan.web.query_params import read_query
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
    event that holds an `ErrorResponse`, and no `[DONE]` follows. With `store`, what is answered can be asked
    for again.
    """
    body = await services.bodies.read(request, ChatCompletionRequest)
    run = services.chat.run(body, context)
    if body.store:
        services.chats.keep(run, body)
    return RunResponse(run, services)


@router.get("/v1/chat/completions", response_model=ObjectList, openapi_extra=describe_query(ChatsQuery))
async def list_chat_completions(request: Request, services: UseServices, context: UseContext) -> Response:
    """The chat completions that were made with `store`, the oldest first unless `order` is `desc`."""
    query = read_query(request, ChatsQuery, strict=services.strict_fields)
    return JsonResponse(await services.chats.list(query, context.principal))


@router.get("/v1/chat/completions/{completion_id}", response_model=ChatCompletion)
async def get_chat_completion(completion_id: str, services: UseServices, context: UseContext) -> Response:
    """A stored chat completion, also of one that was streamed, and its metadata."""
    return JsonResponse(await services.chats.retrieve(completion_id, context.principal))


@router.post(
    "/v1/chat/completions/{completion_id}",
    response_model=ChatCompletion,
    openapi_extra=describe_body(MetadataRequest),
)
async def update_chat_completion(
    completion_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """Give a stored chat completion other metadata."""
    body = await services.bodies.read(request, MetadataRequest)
    return JsonResponse(await services.chats.update(completion_id, body.metadata, context.principal))


@router.delete("/v1/chat/completions/{completion_id}")
async def delete_chat_completion(
    completion_id: str, services: UseServices, context: UseContext
) -> DeletedChat:
    """Forget a stored chat completion with its messages."""
    return await services.chats.delete(completion_id, context.principal)


@router.get(
    "/v1/chat/completions/{completion_id}/messages",
    response_model=ObjectList,
    openapi_extra=describe_query(MessagesQuery),
)
async def list_chat_messages(
    completion_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """The messages that a stored chat completion answers, the oldest first unless `order` is `desc`."""
    query = read_query(request, MessagesQuery, strict=services.strict_fields)
    return JsonResponse(await services.chats.messages(completion_id, query, context.principal))
