"""`/v1/responses`: OpenAI's Responses API, with what it keeps."""

import re
from typing import Literal, get_args

from fastapi import APIRouter, Request, Response

from schemas.responses import DeletedResponse, InputItemList, ResponseRequest
from schemas.responses import Response as ResponseObject
from schemas.responses_events import Event
from server.routes.body import described, read_request, streamed
from server.routes.deps import UseServices
from server.routes.query import Query, query_parameters
from server.routes.sse import respond
from server.service.responses.rules import check_include

router = APIRouter(tags=["responses"])

_TYPE = re.compile(rb'{"type":"([a-z_.]+)"')
_MAX_ITEMS = 100
_RETRIEVAL = ("include", "include_obfuscation", "starting_after", "stream")
_LISTING = ("after", "include", "limit", "order")
_EVENTS = streamed(*get_args(Event))


@router.post(
    "/v1/responses",
    response_model=ResponseObject,
    responses=_EVENTS,
    openapi_extra=described(ResponseRequest),
)
async def create_response(request: Request, services: UseServices) -> Response:
    """Answer an input; with `stream`, as OpenAI's events, of which the last one has the whole response.

    With `background` the answer is a response that is `queued`, which goes on when the client leaves. A
    failure before the first token is a status. After it, it is a response that is `failed`.
    """
    body = await read_request(request, ResponseRequest, services)
    return await respond(request, services.responses.answer(body), services, framed)


@router.get(
    "/v1/responses/{response_id}",
    response_model=ResponseObject,
    responses=_EVENTS,
    openapi_extra=query_parameters(*_RETRIEVAL),
)
async def get_response(response_id: str, request: Request, services: UseServices) -> Response:
    """A stored response as it stands.

    With `stream`, the events of one that was made with `background` and `stream`: those after number
    `starting_after`, and those to come.
    """
    query = Query(request, _RETRIEVAL)
    check_include(query.texts("include"))
    query.only("include_obfuscation", "false")
    if not query.flag("stream"):
        query.only("starting_after")
        return Response(await services.responses.retrieve(response_id), media_type="application/json")
    first = query.number("starting_after", -1, low=0) + 1
    return await respond(request, await services.responses.replay(response_id, first), services, framed)


@router.delete("/v1/responses/{response_id}")
async def delete_response(response_id: str, services: UseServices) -> DeletedResponse:
    """Forget a response with its items. Responses that go on with it cannot be gone on with any more."""
    return await services.responses.delete(response_id)


@router.post("/v1/responses/{response_id}/cancel", response_model=ResponseObject)
async def cancel_response(response_id: str, services: UseServices) -> Response:
    """End a response that is being made in the background; one that has ended is answered as it is."""
    return Response(await services.responses.cancel(response_id), media_type="application/json")


@router.get("/v1/responses/{response_id}/input_items", openapi_extra=query_parameters(*_LISTING))
async def list_input_items(response_id: str, request: Request, services: UseServices) -> InputItemList:
    """What a response answers, the newest first unless `order` is `asc`, in pages of `limit`.

    The items of the responses before it are in lists of their own.
    """
    query = Query(request, _LISTING)
    check_include(query.texts("include"))
    order: Literal["asc", "desc"] = "asc" if query.choice("order", "desc", "asc") == "asc" else "desc"
    limit = query.number("limit", 20, low=1, high=_MAX_ITEMS)
    return await services.responses.input_items(response_id, query.text("after"), limit, order)


def framed(data: bytes) -> bytes:
    """An event with the name that its data begin with."""
    found = _TYPE.match(data)
    assert found is not None, "every event says its type first"
    return b"event: %b\ndata: %b\n\n" % (found[1], data)
