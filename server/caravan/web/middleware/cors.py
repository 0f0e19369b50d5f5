"""CORS: web pages of other sites, which the operator has listed, are told that they may call, and how."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from caravan.errors import InvalidRequestError
from caravan.web.error_response import error_response

_METHODS = ("GET", "HEAD", "POST", "DELETE")
_LONGEST = 100
# What scripts of web pages may read besides the body.
_SHOWN_HEADERS = (
    "x-request-id",
    "request-id",
    "x-caravan-ignored",
    "x-caravan-replaced",
    "x-caravan-truncated",
    "retry-after",
    "x-caravan-unenforced",
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ),
)


class CorsMiddleware(CORSMiddleware):
    """Starlette's, with refusals in the envelope. Pages of unlisted origins that come here are this server's
    own, and answered as if there were no list.

    Only origins that are listed by name may call from a public network into a private one: `*` was not said
    of those.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=["*"],
            expose_headers=_SHOWN_HEADERS,
            allow_private_network="*" not in origins,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        is_own = origin is not None and not self.is_allowed_origin(origin)
        if is_own and scope["method"] == "OPTIONS":
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a browser that asks on behalf of a page (Starlette's method)."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        method = request_headers["access-control-request-method"]
        if method not in _METHODS:
            message = f"Web pages may send {', '.join(_METHODS)}, not {method[:_LONGEST]}."
            error = InvalidRequestError(message, code="method_not_allowed")
        else:
            message = "Pages of public sites may call this server if --cors-origins names them, not by '*'."
            error = InvalidRequestError(message, code="private_network_not_allowed")
        refused = error_response(error)
        told = {name: text for name, text in answer.headers.items() if not name.startswith("content-")}
        refused.headers.update(told)
        return refused
