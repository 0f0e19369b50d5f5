"""Paths with control characters lead nowhere: patterns of routes and lists of paths read them unlike."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from caravan.errors import InvalidRequestError
from caravan.web.error_response import error_response
from caravan.web.middleware.access_log import written
from caravan.web.not_found_hints import shown

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _UnknownPathError(InvalidRequestError):
    status = 404
    code = "unknown_url"


class PlainPathsMiddleware:
    """ASGI middleware before all that looks at a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http" and _CONTROL.search(scope["path"]):
            where = f"{shown(scope['method'])} {written(scope['path'])}"
            message = f"Unknown request URL: {where}. There are no control characters in paths here."
            await error_response(_UnknownPathError(message))(scope, receive, send)
            return
        await self._app(scope, receive, send)
