"""Answers as lines of JSON, one after the other: a run as Ollama's API has it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from caravan.api.context import context_of
from caravan.runtime.threads import cancel_and_wait
from caravan.web.error_response import LINES, error_line
from caravan.web.json_pieces import JsonResponse
from caravan.web.sse import Answering, ClientLeftError, RunResponse, sent_events, unless_client_leaves

# What may stand before a line, and is none itself.
_NOTHING = b" "


class LinesResponse(RunResponse):
    """A run as the answer of a route: one document, or lines of JSON.

    What fails before the first token, or before a keep-alive is due, is raised, and becomes a status. A later
    failure is the last line.
    """

    async def _begun(self, run: Answering, scope: Scope, send: Send) -> Response:
        if not run.stream:
            return JsonResponse(await run.whole())
        await run.start(self._seconds)
        return _Lines(sent_events(run, _line, error_line, context_of(scope).metrics, send), self._seconds)


class _Lines(StreamingResponse):
    """Ends when its client leaves. One that is silent sends spaces: lines have no comments."""

    def __init__(self, lines: AsyncGenerator[bytes, None], seconds: float) -> None:
        super().__init__(lines, media_type=LINES)
        self._seconds = seconds

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        with contextlib.suppress(ClientLeftError):
            await unless_client_leaves(receive, self._sent(send))

    async def _sent(self, send: Send) -> None:
        keeping = asyncio.create_task(self._keep_alive(send))
        try:
            await self.stream_response(send)
        finally:
            await cancel_and_wait(keeping)

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await send({"type": "http.response.body", "body": _NOTHING, "more_body": True})


def _line(data: bytes) -> bytes:
    return data + b"\n"
