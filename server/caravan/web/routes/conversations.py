"""`/v1/conversations`: OpenAI's conversations, which responses answer and go on with."""

from caravan_schemas.common import ObjectList
from caravan_schemas.conversations import (
    Conversation,
    ConversationRequest,
    DeletedConversation,
    ItemsRequest,
)
from caravan_schemas.metadata import MetadataRequest
from caravan_schemas.queries import IncludeQuery, ItemsQuery
from fastapi import APIRouter, Request, Response

from caravan.api.responses.to_chat import check_include
from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse
from caravan.web.openapi import describe_body, describe_query
from caravan.web.query_params import read_query

router = APIRouter(tags=["conversations"])

_ONE = "/v1/conversations/{conversation_id}"
_ITEMS = f"{_ONE}/items"
_ITEM = f"{_ITEMS}/{{item_id}}"


@router.post(
    "/v1/conversations", response_model=Conversation, openapi_extra=describe_body(ConversationRequest)
)
async def create_conversation(request: Request, services: UseServices, context: UseContext) -> Response:
    """Begin a conversation. Responses whose `conversation` it is go on with it."""
    body = await services.bodies.read(request, ConversationRequest)
    return JsonResponse(await services.conversations.create(body, context.principal))


@router.get(_ONE, response_model=Conversation)
async def get_conversation(conversation_id: str, services: UseServices, context: UseContext) -> Response:
    """A conversation without its items."""
    return JsonResponse(await services.conversations.retrieve(conversation_id, context.principal))


@router.post(_ONE, response_model=Conversation, openapi_extra=describe_body(MetadataRequest))
async def update_conversation(
    conversation_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """Give a conversation other metadata."""
    body = await services.bodies.read(request, MetadataRequest)
    done = await services.conversations.update(conversation_id, body.metadata, context.principal)
    return JsonResponse(done)


@router.delete(_ONE)
async def delete_conversation(
    conversation_id: str, services: UseServices, context: UseContext
) -> DeletedConversation:
    """Forget a conversation with its items. Responses that were made in it stay."""
    return await services.conversations.delete(conversation_id, context.principal)


@router.post(_ITEMS, response_model=ObjectList, openapi_extra=describe_body(ItemsRequest))
async def add_items(
    conversation_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """Add items to the end of a conversation, all of them or none; answers with what was added."""
    _check_include(request, services)
    body = await services.bodies.read(request, ItemsRequest)
    return JsonResponse(await services.conversations.add(conversation_id, body.items, context.principal))


@router.get(_ITEMS, response_model=ObjectList, openapi_extra=describe_query(ItemsQuery))
async def list_items(
    conversation_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """The items of a conversation, the newest first unless `order` is `asc`, in pages of `limit`."""
    query = read_query(request, ItemsQuery, strict=services.strict_fields)
    check_include(query.include or ())
    return JsonResponse(await services.conversations.items(conversation_id, query, context.principal))


@router.get(_ITEM, openapi_extra=describe_query(IncludeQuery))
async def get_item(
    conversation_id: str, item_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """One item of a conversation."""
    _check_include(request, services)
    return JsonResponse(await services.conversations.item(conversation_id, item_id, context.principal))


@router.delete(_ITEM, response_model=Conversation)
async def delete_item(
    conversation_id: str, item_id: str, services: UseServices, context: UseContext
) -> Response:
    """Take one item out of a conversation; answers with the conversation."""
    return JsonResponse(await services.conversations.delete_item(conversation_id, item_id, context.principal))


def _check_include(request: Request, services: UseServices) -> None:
    query = read_query(request, IncludeQuery, strict=services.strict_fields)
    check_include(query.include or ())
