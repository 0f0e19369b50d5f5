"""Every error a client can see, each with its HTTP status, OpenAI type and code.

::

    CaravanError
    +-- InvalidRequestError            400 invalid_request   (mostly with a code that says more)
    |   +-- InvalidValueError          400 invalid_value
    |   +-- UnknownParameterError      400 unknown_parameter
    |   +-- UnsupportedParameterError  400 unsupported_parameter
    |   +-- ContextLengthError         400 context_length_exceeded
    |   +-- ConstraintFailedError      400 constraint_failed (it left the answer no way on)
    |   +-- RequestTooLargeError       413 request_too_large
    |   +-- UnsupportedEncodingError   415 unsupported_content_encoding
    |   +-- HeadTooLargeError          431 request_head_too_large
    |   +-- RequestTimeoutError        408 request_timeout
    |   +-- AuthenticationError        401 invalid_api_key
    |   +-- PermissionDeniedError      403 permission_denied
    |   +-- ModelNotFoundError         404 model_not_found
    |   +-- NotServedError             501 not_supported     (by this server, or by this model)
    +-- RateLimitError                 429 rate_limit_exceeded (with Retry-After)
    +-- ServerError                    500 server_error
        +-- BrokenConstraintError      500 constraint_broken (the answer is not what it had to be)
        +-- EngineFailedError          500 engine_error      (the request was running when the engine failed)
        +-- EngineUnavailableError     503 engine_unavailable (with Retry-After)
            +-- ModelUnavailableError  503 model_unavailable  (it loads, or could not be loaded)
            +-- OverloadedError        503 overloaded         (the queue is full, or the wait in it too long)
            +-- MemoryShortError       503 insufficient_memory (too little is free for this request)

Clients decide by codes, so that no error is without one. Imports nothing, so that every layer may raise them.
"""


class CaravanError(Exception):
    """Base of all errors that become an answer; one handler turns it into OpenAI's envelope."""

    status = 500
    type = "server_error"
    code = "server_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        if code is not None:
            self.code = code


class InvalidRequestError(CaravanError):
    """The request cannot be served as it stands; `param` names the field at fault."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class InvalidValueError(InvalidRequestError):
    """A field has a wrong value, by itself or beside other fields; the `complaint` follows its name."""

    code = "invalid_value"

    def __init__(self, param: str, complaint: str) -> None:
        super().__init__(f"'{param}' {complaint}.", param=param)


class UnknownParameterError(InvalidRequestError):
    """A field that no documentation of this server names."""

    code = "unknown_parameter"


class UnsupportedParameterError(InvalidRequestError):
    """A field, or a value of it, that others serve and this server does not."""

    code = "unsupported_parameter"


class ContextLengthError(InvalidRequestError):
    """The prompt alone fills the model's context."""

    code = "context_length_exceeded"


class ConstraintFailedError(InvalidRequestError):
    """What the request asks of its answer cannot be kept to any further: nothing may follow, or it takes too
    much to find out what.
    """

    code = "constraint_failed"


class RequestTooLargeError(InvalidRequestError):
    """The body has more bytes than the operator allows."""

    status = 413
    code = "request_too_large"


class UnsupportedEncodingError(InvalidRequestError):
    """The body is packed in a way that is not unpacked here."""

    status = 415
    code = "unsupported_content_encoding"


class HeadTooLargeError(InvalidRequestError):
    """The request line and the headers have more bytes or fields than are allowed."""

    status = 431
    code = "request_head_too_large"


class RequestTimeoutError(InvalidRequestError):
    """The head or the body did not arrive in the time that the operator allows."""

    status = 408
    code = "request_timeout"


class AuthenticationError(InvalidRequestError):
    """There are keys, and the request has none of them."""

    status = 401
    code = "invalid_api_key"


class ModelNotFoundError(InvalidRequestError):
    """The named model is not served here."""

    status = 404
    code = "model_not_found"


class NotServedError(InvalidRequestError):
    """What others do and this server, or this model, does not; llama.cpp's servers say it in this way."""

    status = 501
    type = "not_supported_error"
    code = "not_supported"


class PermissionDeniedError(InvalidRequestError):
    """The caller may not do this."""

    status = 403
    code = "permission_denied"


class RateLimitError(CaravanError):
    """The caller's key has used up what it may; `retry_after` says when there is more, in whole seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class ServerError(CaravanError):
    """A fault on this side of the wire."""


class BrokenConstraintError(ServerError):
    """An answer has ended and is not what the request asked of it, although it was kept to that."""

    code = "constraint_broken"


class EngineFailedError(ServerError):
    """The engine failed while this request was queued or running there."""

    code = "engine_error"


class EngineUnavailableError(ServerError):
    """No engine is up at the moment; `retry_after` is the advice in whole seconds."""

    status = 503
    code = "engine_unavailable"


class ModelUnavailableError(EngineUnavailableError):
    """The model is still loading, or its last load failed and the next has to wait."""

    code = "model_unavailable"


class OverloadedError(EngineUnavailableError):
    """More requests wait for the model than the operator allows, or this one has waited too long."""

    code = "overloaded"


class MemoryShortError(EngineUnavailableError):
    """What the request needs beyond the memory that the model already has is not free at the moment."""

    code = "insufficient_memory"


def failed_writing(error: Exception) -> ServerError:
    """What a client is told in the middle of an answer that an unexpected `error` has ended."""
    if isinstance(error, MemoryError):
        return MemoryShortError("The server ran out of memory while it wrote this answer.", retry_after=5)
    return ServerError("The server failed while it wrote this answer.")
