"""Errors as answers, in the envelope of the route that was asked."""

import functools
import logging
from collections.abc import Sequence
from http import HTTPStatus

from caravan_schemas.ollama_answers import OllamaErrorResponse
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from caravan.api.context import context_of
from caravan.api.output.encoding import to_json
from caravan.errors import CaravanError, InvalidRequestError, MemoryShortError, ServerError
from caravan.observability.request_metrics import RequestMetrics
from caravan.web import not_found_hints
from caravan.web.envelopes import envelope, error_frame

log = logging.getLogger(__name__)

# Streams of Ollama's API: a JSON document a line.
LINES = "application/x-ndjson"
# How bodies may be packed, as the header that says so to clients lists it.
ACCEPTED_ENCODINGS = "gzip, deflate"
# Others may have given memory back by then.
_RETRY_SECONDS = 5


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make the failures of `app`, whose `routes` are these, answer in the envelope.

    What is no CaravanError, and what fails outside of routes, the access log's middleware answers.
    """
    app.add_exception_handler(CaravanError, _answer_error)
    app.add_exception_handler(HTTPException, functools.partial(_answer_http, routes))
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(MemoryError, _answer_shortage)


async def _answer_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CaravanError)
    return error_response(error)


async def _answer_http(routes: Sequence[BaseRoute], request: Request, error: Exception) -> Response:
    """Errors of the framework: no such route, no such method."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    where = f"{request.method} {not_found_hints.shortened(path)}"
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        near = not_found_hints.suggested_path(routes, path)
        hint = f"Did you mean {near}?" if near else not_found_hints.MAP
        shown = InvalidRequestError(f"Unknown request URL: {where}. {hint}", code="unknown_url")
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names those of one route, and a path may have several.
        headers["Allow"] = ", ".join(not_found_hints.methods_at(routes, path))
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        message = f"Method not allowed: {where}. It takes {headers['Allow']}."
        shown = InvalidRequestError(message, code="method_not_allowed")
    else:
        shown = InvalidRequestError(str(error.detail), code="invalid_http")
    return _ErrorAnswer(shown, error.status_code, headers)


async def _answer_nobody(_request: Request, _error: Exception) -> Response:
    """A client that left in the middle of its own request."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _answer_shortage(request: Request, _error: Exception) -> Response:
    """There was no memory for a step of the work on this request, and what it had has been given back."""
    log.error("%s %s: out of memory", request.method, not_found_hints.shortened(request.url.path))
    message = "The server has too little memory at the moment for this request."
    return error_response(MemoryShortError(message, retry_after=_RETRY_SECONDS))


def fault_response(scope: Scope, error: BaseException) -> Response:
    """Answer a request that failed by a bug of ours: the log has the details, the client does not."""
    log.error("%s %s failed", scope["method"], not_found_hints.shortened(scope["path"]), exc_info=error)
    return error_response(ServerError("The server failed to answer this request."))


def error_event(error: CaravanError, entry: RequestMetrics, scope: Scope) -> bytes:
    """Write the event that tells the client of a stream of `error`, which is counted."""
    entry.fail(error.code)
    return error_frame(error, scope, entry.request_id)


def error_line(error: CaravanError, entry: RequestMetrics) -> bytes:
    """Write the line that tells the client of a stream of lines of `error`, which is counted."""
    entry.fail(error.code)
    return to_json(OllamaErrorResponse(error=error.message)) + b"\n"


def error_response(error: CaravanError) -> Response:
    """Answer with `error`."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        headers["Accept-Encoding"] = ACCEPTED_ENCODINGS
    return _ErrorAnswer(error, error.status, headers)


class _ErrorAnswer(Response):
    """An error in the envelope of the route that was asked, which is counted when it is sent."""

    def __init__(self, error: CaravanError, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers, media_type="application/json")
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        metrics = context_of(scope).metrics
        metrics.fail(self._error.code)
        written = envelope(self._error, scope, metrics.request_id, self.status_code)
        self.body = written.model_dump_json().encode()
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)
