"""Errors as OpenAI's envelope."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from schemas.errors import ErrorDetail, ErrorResponse
from server import record
from server.errors import CaravanError, InvalidRequestError, ServerError
from server.routes.encoding import ACCEPTED

log = logging.getLogger(__name__)


def envelope(error: CaravanError) -> ErrorResponse:
    """The body that tells a client of `error`."""
    return ErrorResponse(
        error=ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
    )


def install(app: FastAPI) -> None:
    """Make every failure of `app`, wherever it arises, answer in the envelope."""
    app.add_exception_handler(CaravanError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_fault)


async def _answer_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CaravanError)
    return error_response(error)


async def _answer_http(request: Request, error: Exception) -> Response:
    """Errors of the framework: no such route, no such method."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path}"
    if error.status_code == HTTPStatus.NOT_FOUND:
        shown = InvalidRequestError(f"Unknown request URL: {where}.", code="unknown_url")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        shown = InvalidRequestError(f"Method not allowed: {where}.", code="method_not_allowed")
    else:
        shown = InvalidRequestError(str(error.detail))
    return _response(shown, error.status_code, dict(error.headers or {}))


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    """A client that left in the middle of its own request."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _answer_fault(request: Request, error: Exception) -> Response:
    """A bug of ours: the log has the details, the client does not."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    # Outside of the middleware that tells every other client its request's id.
    headers = {"x-request-id": record.current().request_id}
    return _response(ServerError("The server failed to answer this request."), ServerError.status, headers)


def error_response(error: CaravanError) -> Response:
    """The answer that tells a client of `error`."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = ACCEPTED
    return _response(error, error.status, headers)


def _response(error: CaravanError, status: int, headers: dict[str, str]) -> Response:
    record.current().fail(error.code)
    body = envelope(error).model_dump_json()
    return Response(body, status_code=status, headers=headers, media_type="application/json")
