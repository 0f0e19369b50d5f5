"""`/v1/responses`: OpenAI's Responses API, with what it keeps."""

import re
from typing import get_args

from caravan_schemas.common import ObjectList
from caravan_schemas.queries import ItemsQuery, RetrievalQuery
from caravan_schemas.responses import CompactRequest, ResponseRequest
from caravan_schemas.responses_answers import CompactedResponse, DeletedResponse, InputTokens
from caravan_schemas.responses_answers import Response as ResponseObject
from caravan_schemas.responses_events import Event
from caravan_schemas.responses_input import ConversationInput
from fastapi import APIRouter, Request, Response

from caravan.api.responses.to_chat import check_include, check_retrieval
from caravan.web.dependencies import UseContext, UseServices
from caravan.web.json_pieces import JsonResponse
from caravan.web.openapi import describe_body, describe_events, describe_query
from caravan.web.query_params import read_query
from caravan.web.sse import RunResponse, respond_whole

router = APIRouter(tags=["responses"])

_TYPE = re.compile(rb'{"type":"([a-z_.]+)"')
_EVENTS = describe_events(*get_args(Event))


@router.post(
    "/v1/responses",
    response_model=ResponseObject,
    responses=_EVENTS,
    openapi_extra=describe_body(ResponseRequest),
)
async def create_response(request: Request, services: UseServices, context: UseContext) -> Response:
    """Answer an input; with `stream`, as OpenAI's events, of which the last one has the whole response.

    With `background` the answer is a response that is `queued`, which goes on when the client leaves. A
    failure before the first token is a status. After it, it is a response that is `failed`.
    """
    body = await services.bodies.read(request, ResponseRequest)
    return RunResponse(services.responses.run(body, context), services, framed)


@router.post(
    "/v1/responses/input_tokens",
    response_model=InputTokens,
    openapi_extra=describe_body(ConversationInput),
)
async def count_input_tokens(request: Request, services: UseServices, context: UseContext) -> Response:
    """Count the tokens of the prompt that a response would answer, of any length."""
    body = await services.bodies.read(request, ConversationInput)
    return await respond_whole(request, services.responses.count(body, context))


@router.post(
    "/v1/responses/compact",
    response_model=CompactedResponse,
    openapi_extra=describe_body(CompactRequest),
)
async def compact_conversation(request: Request, services: UseServices, context: UseContext) -> Response:
    """Sum up a conversation: `output` is what the next request's `input` begins with, in its place.

    Nothing is kept here. The item `compaction` has the summary, which only the same key can use.
    """
    body = await services.bodies.read(request, CompactRequest)
    return await respond_whole(request, services.responses.compact(body, context))


@router.get(
    "/v1/responses/{response_id}",
    response_model=ResponseObject,
    responses=_EVENTS,
    openapi_extra=describe_query(RetrievalQuery),
)
async def get_response(
    response_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """A stored response as it stands.

    With `stream`, the events of one that was made with `background` and `stream`: those after number
    `starting_after`, and those to come.
    """
    query = read_query(request, RetrievalQuery, strict=services.strict_fields)
    check_retrieval(query)
    if not query.stream:
        return JsonResponse(await services.responses.retrieve(response_id, context.principal))
    first = 0 if query.starting_after is None else query.starting_after + 1
    is_padded = bool(query.include_obfuscation)
    replay = await services.responses.replay(response_id, first, context.principal, is_padded=is_padded)
    return RunResponse(replay, services, framed)


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, services: UseServices, context: UseContext) -> DeletedResponse:
    """Forget a response with its items. Responses that go on with it cannot be gone on with any more."""
    return await services.responses.delete(response_id, context.principal)


@router.post("/v1/responses/{response_id}/cancel", response_model=ResponseObject)
async def cancel_response(response_id: str, services: UseServices, context: UseContext) -> Response:
    """End a response that is being made in the background; one that has ended is answered as it is."""
    return JsonResponse(await services.responses.cancel(response_id, context.principal))


@router.get(
    "/v1/responses/{response_id}/input_items",
    response_model=ObjectList,
    openapi_extra=describe_query(ItemsQuery),
)
async def list_input_items(
    response_id: str, request: Request, services: UseServices, context: UseContext
) -> Response:
    """What a response answers, the newest first unless `order` is `asc`, in pages of `limit`.

    The items of the responses before it are in lists of their own.
    """
    query = read_query(request, ItemsQuery, strict=services.strict_fields)
    check_include(query.include or ())
    return JsonResponse(await services.responses.input_items(response_id, query, context.principal))


def framed(data: bytes) -> bytes:
    """An event with the name that its data begin with."""
    found = _TYPE.match(data)
    assert found is not None, "every event says its type first"
    return b"event: %b\ndata: %b\n\n" % (found[1], data)
