"""Names of requests, which Ray's proxy gives, and tells the client of."""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = "x-request-id"
_RAYS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RequestIds:
    """Has a name that Ray gave begin as the server's own do, and leaves it to Ray to send it (ASGI)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            headers = MutableHeaders(scope=scope)
            if _RAYS.fullmatch(given := headers.get(_HEADER, "")):
                headers[_HEADER] = f"req_{given}"

        async def send_without(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)[_HEADER]
            await send(message)

        await self._app(scope, receive, send_without)
