"""What answers have whoever makes them: headers, and each protocol's way to tell of an error.

OpenAI's envelope is everybody's that has no other.
"""

from collections.abc import Iterable
from http import HTTPStatus

from caravan_schemas.anthropic_output import (
    ErrorDetails,
    MessagesError,
    MessagesErrorDetail,
    MessagesErrorType,
)
from caravan_schemas.base import Schema
from caravan_schemas.errors import ErrorDetail, ErrorResponse
from caravan_schemas.ollama_answers import OllamaErrorResponse
from starlette.datastructures import Headers
from starlette.types import Scope

from caravan.api.output.encoding import to_json
from caravan.errors import CaravanError, ContextLengthError

_MESSAGES = "/v1/messages"
_MODELS = "/v1/models"
# Every client of Anthropic's API sends it.
_VERSION = "anthropic-version"
_OLLAMA = "/api/"
# Whoever writes OpenAI's routes there expects no words of Ollama's.
_OPENAI_THERE = "/api/v1/"
# By these words Claude Code finds out that it has to make its conversation shorter.
_TOO_LONG = "prompt is too long: "
_TYPES: dict[int, MessagesErrorType] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_TIMEOUT: "timeout_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}


# Take an answer for what it says it is, show it in no frame, run and load nothing for it, keep no copy, and
# tell other sites nothing of where it was.
_FOR_BROWSERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    # Nearly all have words of users, and the others are small.
    (b"cache-control", b"no-store"),
)


def is_anthropics(scope: Scope) -> bool:
    """Whether a request is one of Anthropic's API, by its path or, where two APIs have it, by a header."""
    path = f"{scope['path']}/"
    if path.startswith(f"{_MODELS}/"):
        return _VERSION in Headers(scope=scope)
    return path.startswith(f"{_MESSAGES}/")


def is_ollamas(path: str) -> bool:
    """Whether errors at a path are written as Ollama writes them."""
    return path.startswith(_OLLAMA) and not path.startswith(_OPENAI_THERE)


def id_headers(scope: Scope) -> tuple[str, ...]:
    """List the headers that tell the id of a request."""
    return ("x-request-id", "request-id") if is_anthropics(scope) else ("x-request-id",)


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Add to an answer's raw headers, whose names are in small letters, those that it has not set itself."""
    given = list(headers)
    names = {name for name, _ in given}
    return given + [pair for pair in _FOR_BROWSERS if pair[0] not in names]


def envelope(error: CaravanError, scope: Scope, request_id: str, status: int | None = None) -> Schema:
    """Write the body that tells the client of a request of `error`.

    Its status is the error's own, unless it is given.
    """
    if is_anthropics(scope):
        return _anthropics(error, request_id, error.status if status is None else status)
    if is_ollamas(scope["path"]):
        return OllamaErrorResponse(error=error.message)
    return openais_envelope(error)


def error_frame(error: CaravanError, scope: Scope, request_id: str) -> bytes:
    """Write the event that tells the client of a stream of `error`."""
    name = b"event: error\n" if is_anthropics(scope) else b""
    return b"%bdata: %b\n\n" % (name, to_json(envelope(error, scope, request_id)))


def openais_envelope(error: CaravanError) -> ErrorResponse:
    """Write OpenAI's envelope, in which those are told, too, whose path is not known."""
    return ErrorResponse(
        error=ErrorDetail(message=error.message, type=error.type, param=error.param, code=error.code)
    )


def _anthropics(error: CaravanError, request_id: str, status: int) -> MessagesError:
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = _TYPES.get(status, "api_error" if is_ours else "invalid_request_error")
    prefix = _TOO_LONG if isinstance(error, ContextLengthError) else ""
    detail = MessagesErrorDetail(
        type=kind,
        message=prefix + error.message,
        details=ErrorDetails(error_code=error.code, param=error.param),
    )
    return MessagesError(type="error", error=detail, request_id=request_id)
