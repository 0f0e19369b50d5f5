"""Answers on the wire: server-sent events, errors inside them, and clients that leave early."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import anyio
from fastapi import Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from caravan.api.output.encoding import Document, to_json
from caravan.errors import CaravanError, failed_writing
from caravan.observability import request_metrics
from caravan.web.dependencies import Services
from caravan.web.error_response import envelope
from caravan.web.json_pieces import JsonResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

# What other servers log for a client that closed its connection; nobody is left to read it.
_CLIENT_LEFT = 499
# Longer than a failing engine needs to tell its requests.
_DRAIN_SECONDS = 10


class ClientLeftError(Exception):
    """The connection was closed before the answer had begun."""


class Answering(Protocol):
    """What services give to routes; `aclose` must follow, on every path.

    `stream` says which of `whole`, or `start` and `events`, the request asked for.
    """

    @property
    def stream(self) -> bool: ...

    async def whole(self) -> Document:
        """The JSON of the complete answer."""

    async def start(self, seconds: float) -> None:
        """Begin, and wait for the first output or `seconds`; what fails by then is raised."""

    def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, those together that are there together."""

    async def aclose(self) -> None:
        """End what still runs; comes before the client is told of the end."""


Frame = Callable[[bytes], bytes]


def data_alone(data: bytes) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % data


class RunResponse(Response):
    """A run as the answer of a route: one document, or events.

    What fails before the first token, or before a keep-alive is due, is raised, and becomes a status.
    """

    def __init__(
        self,
        run: Answering,
        services: Services,
        frame: Frame = data_alone,
    ) -> None:
        super().__init__()
        self._run = run
        self._services = services
        self._frame = frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        async with contextlib.aclosing(self._run) as run:
            try:
                response = await _unless_client_leaves(receive, self._begun(run))
            except ClientLeftError:
                response = Response(status_code=_CLIENT_LEFT)
            if isinstance(response, EventStream):
                await response(scope, receive, send)
                return
        # By now nothing of the run is left that the client's next request could meet.
        await response(scope, receive, send)

    async def _begun(self, run: Answering) -> Response:
        if not run.stream:
            return JsonResponse(await run.whole())
        await run.start(self._services.keep_alive_seconds)
        return EventStream(_events(run, self._frame), self._services)


async def respond_whole(request: Request, work: Coroutine[Any, Any, Document]) -> Response:
    """The JSON that `work` makes; it is cancelled when the client leaves."""
    try:
        return JsonResponse(await _unless_client_leaves(request.receive, work))
    except ClientLeftError:
        return Response(status_code=_CLIENT_LEFT)


class EventStream(EventSourceResponse):
    """Framed events as they come, and comments that keep the connection alive."""

    def __init__(self, events: AsyncGenerator[bytes, None], services: Services) -> None:
        self._events = events
        super().__init__(
            events,
            sep="\n",
            ping=services.keep_alive_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="keep-alive", sep="\n"),
            # Streams end by themselves or with their engine; the library must not tear them first.
            shutdown_event=anyio.Event(),
            shutdown_grace_period=services.shutdown_seconds + _DRAIN_SECONDS,
        )

    async def _stream_response(self, send: Send) -> None:
        """Send the events, without the library's cancel scope around each, which has no timeout here."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        async with self._send_lock:
            self.active = False
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _events(run: Answering, frame: Frame) -> AsyncGenerator[bytes, None]:
    """Framed events, one piece for those that are there together: each piece is a write to the socket.

    A failure becomes one error event, after which the stream ends without `[DONE]`.
    """
    try:
        async with contextlib.aclosing(run.events()) as events:
            async for together in events:
                if together:
                    yield b"".join(map(frame, together))
    except CaravanError as error:
        await run.aclose()
        request_metrics.current().fail(error.code)
        yield data_alone(to_json(envelope(error)))
    except Exception as error:
        log.exception("a stream failed")
        await run.aclose()
        fault = failed_writing(error)
        request_metrics.current().fail(fault.code)
        yield data_alone(to_json(envelope(fault)))


async def _unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; when the connection closes first, cancels it and raises ClientLeftError."""
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
