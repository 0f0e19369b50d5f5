"""Requests that the end of the server cuts off: each gets an error in the envelope, as everywhere else."""

import asyncio
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caravan.api.output.encoding import to_json
from caravan.errors import EngineUnavailableError
from caravan.observability import request_metrics
from caravan.web.error_response import envelope, error_response
from caravan.web.sse import data_alone

_RETRY_SECONDS = 5
# For a client that does not read; the server has waited long enough for it.
_SEND_SECONDS = 1.0
_EVENTS = b"text/event-stream"


class LastAnswers:
    """ASGI middleware around all that can be cancelled.

    Routes notice it themselves when their client leaves. Who cancels the request as a whole is the server,
    when it ends and waits no longer; uvicorn would answer in plain words of its own, or with half a stream.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        begun: Message | None = None
        has_ended = False

        async def noting(message: Message) -> None:
            nonlocal begun, has_ended
            if message["type"] == "http.response.start":
                begun = message
            has_ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            if scope["type"] != "http" or has_ended:
                raise
            async with asyncio.timeout(_SEND_SECONDS):
                if not await _told(begun, scope, receive, send):
                    raise


async def _told(begun: Message | None, scope: Scope, receive: Receive, send: Send) -> bool:
    """Tell the client, as far as what has `begun` allows it."""
    error = EngineUnavailableError("The server is shutting down.", retry_after=_RETRY_SECONDS)
    if begun is None:
        await error_response(error)(scope, receive, send)
        return True
    headers = cast("list[tuple[bytes, bytes]]", begun.get("headers", []))
    if not any(name.lower() == b"content-type" and value.startswith(_EVENTS) for name, value in headers):
        return False
    request_metrics.current().fail(error.code)
    event = data_alone(to_json(envelope(error)))
    await send({"type": "http.response.body", "body": event, "more_body": False})
    return True
