"""`/v1/messages`: Anthropic's Messages API."""

from typing import get_args

from caravan_schemas.anthropic import CountTokensRequest, MessagesRequest
from caravan_schemas.anthropic_output import MessageAnswer, MessagesEvent, TokenCount
from fastapi import APIRouter, Request, Response
from sse_starlette import ServerSentEvent

from caravan.web.dependencies import UseContext, UseServices
from caravan.web.openapi import MESSAGES_ERRORS, describe_body, describe_events
from caravan.web.routes.responses import framed
from caravan.web.sse import RunResponse, respond_whole

router = APIRouter(tags=["messages"])


@router.post(
    "/v1/messages",
    response_model=MessageAnswer,
    responses={**MESSAGES_ERRORS, **describe_events(*get_args(MessagesEvent))},
    openapi_extra=describe_body(MessagesRequest),
)
async def create_message(request: Request, services: UseServices, context: UseContext) -> Response:
    """Answer a conversation, as Anthropic's API does; with `stream`, as its events.

    A failure before the first token is a status. After it, it is an `error` event, which is the last.
    """
    body = await services.bodies.read(request, MessagesRequest)
    return RunResponse(services.messages.run(body, context), services, framed, _ping)


@router.post(
    "/v1/messages/count_tokens",
    response_model=TokenCount,
    responses=MESSAGES_ERRORS,
    openapi_extra=describe_body(CountTokensRequest),
)
async def count_tokens(request: Request, services: UseServices, context: UseContext) -> Response:
    """Count the tokens of the prompt that a message would answer, of any length."""
    body = await services.bodies.read(request, CountTokensRequest)
    return await respond_whole(request, services.messages.count(body, context))


def _ping() -> ServerSentEvent:
    return ServerSentEvent('{"type":"ping"}', event="ping", sep="\n")
