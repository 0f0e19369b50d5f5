"""Answers on the wire: server-sent events, errors inside them, and clients that leave early."""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import anyio
from fastapi import Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from caravan.api.context import context_of
from caravan.api.output.encoding import Document
from caravan.errors import CaravanError, failed_writing
from caravan.observability.request_metrics import RequestMetrics
from caravan.web.dependencies import Services
from caravan.web.error_response import error_event
from caravan.web.json_pieces import JsonResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

# What other servers log for a client that closed its connection; nobody is left to read it.
_CLIENT_LEFT = 499


class ClientLeftError(Exception):
    """The connection was closed before the answer had begun."""


class Answering(Protocol):
    """What services give to routes; `aclose` must follow, on every path.

    `stream` says which of `whole`, or `start` and `events`, the request asked for.
    """

    @property
    def stream(self) -> bool: ...

    async def whole(self) -> Document:
        """Make the JSON of the complete answer."""

    async def start(self, seconds: float | None) -> None:
        """Begin, and wait for the first output or `seconds`; what fails by then is raised."""

    def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the data of the events, those together that are there together."""

    async def aclose(self) -> None:
        """End what still runs; comes before the client is told of the end."""


Frame = Callable[[bytes], bytes]
WriteError = Callable[[CaravanError, RequestMetrics], bytes]


def data_alone(data: bytes) -> bytes:
    """Frame an event without a name."""
    return b"data: %b\n\n" % data


Ping = Callable[[], ServerSentEvent]


def comment() -> ServerSentEvent:
    """Make what keeps a connection alive and says nothing."""
    return ServerSentEvent(comment="keep-alive", sep="\n")


class RunResponse(Response):
    """A run as the answer of a route: one document, or events.

    What fails before the first token, or before a keep-alive is due, is raised, and becomes a status. A later
    failure becomes one error event, after which the stream ends without `[DONE]`.
    """

    def __init__(
        self, run: Answering, services: Services, frame: Frame = data_alone, ping: Ping = comment
    ) -> None:
        super().__init__()
        self._run = run
        self._seconds = services.keep_alive_seconds
        self._frame = frame
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        async with contextlib.aclosing(self._run) as run:
            try:
                begun = self._begun(run, scope, send)
                response = await unless_client_leaves(receive, begun)
            except ClientLeftError:
                response = Response(status_code=_CLIENT_LEFT)
            if isinstance(response, EventSourceResponse | StreamingResponse):
                await response(scope, receive, send)
                return
        # By now nothing of the run is left that the client's next request could meet.
        await response(scope, receive, send)

    async def _begun(self, run: Answering, scope: Scope, send: Send) -> Response:
        if not run.stream:
            return JsonResponse(await run.whole())
        await run.start(self._seconds)
        write_error = partial(error_event, scope=scope)
        return EventSourceResponse(
            sent_events(run, self._frame, write_error, context_of(scope).metrics, send),
            ping=self._seconds,
            ping_message_factory=self._ping,
            # Streams end by themselves, with their engine or with uvicorn's grace, and not when the server is
            # asked to end.
            shutdown_event=anyio.Event(),
            shutdown_grace_period=math.inf,
        )


async def sent_events(
    run: Answering, frame: Frame, write_error: WriteError, entry: RequestMetrics, send: Send
) -> AsyncGenerator[bytes, None]:
    """Send framed events, as one piece those that are there together: each piece is a write to the socket.

    Only a last event, of an error, is yielded: sse-starlette opens a cancel scope for each that it is given.
    """
    try:
        async with contextlib.aclosing(run.events()) as events:
            async for together in events:
                if together:
                    body = b"".join(map(frame, together))
                    await send({"type": "http.response.body", "body": body, "more_body": True})
    except CaravanError as error:
        await run.aclose()
        yield write_error(error, entry)
    except Exception as error:
        log.exception("a stream failed")
        await run.aclose()
        yield write_error(failed_writing(error), entry)


async def respond_whole(request: Request, work: Coroutine[Any, Any, Document]) -> Response:
    """Answer with the JSON that `work` makes; it is cancelled when the client leaves."""
    try:
        return JsonResponse(await unless_client_leaves(request.receive, work))
    except ClientLeftError:
        return Response(status_code=_CLIENT_LEFT)


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Wait for `work`. When the connection closes first, cancel it and raise ClientLeftError."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_client_left(receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
