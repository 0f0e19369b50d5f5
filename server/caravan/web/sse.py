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
    """What services give to routes; `stream` says which of `events` and `whole` the request asked for."""

    stream: bool

    async def whole(self) -> Document:
        """The JSON of the complete answer."""

    async def open(self, seconds: float) -> None:
        """Start, and wait for the first output or `seconds`; comes before `events`."""

    def events(self) -> AsyncGenerator[Sequence[bytes], None]:
        """The data of the events, those together that are there together."""

    async def aclose(self) -> None:
        """Must follow, on every path."""


Frame = Callable[[bytes], bytes]


def data_alone(data: bytes) -> bytes:
    """An event without a name."""
    return b"data: %b\n\n" % data


async def respond(
    request: Request, answer: Answering, services: Services, frame: Frame = data_alone
) -> Response:
    """Run an answer. What fails before the first token, or before a keep-alive is due, raises here."""
    try:
        if not answer.stream:
            body = await _unless_client_leaves(request, answer.whole())
            return JsonResponse(body)
        await _unless_client_leaves(request, answer.open(services.keep_alive_seconds))
    except ClientLeftError:
        await answer.aclose()
        return Response(status_code=_CLIENT_LEFT)
    except BaseException:
        await answer.aclose()
        raise
    return AnswerStream(answer, services, frame)


async def respond_whole(request: Request, work: Coroutine[Any, Any, Document]) -> Response:
    """The JSON that `work` makes; it is cancelled when the client leaves."""
    try:
        return JsonResponse(await _unless_client_leaves(request, work))
    except ClientLeftError:
        return Response(status_code=_CLIENT_LEFT)


class AnswerStream(EventSourceResponse):
    """An answer as events; it closes the answer even where nothing of it was ever sent."""

    def __init__(self, answer: Answering, services: Services, frame: Frame = data_alone) -> None:
        self._events = _events(answer, frame)
        super().__init__(
            self._events,
            sep="\n",
            ping=services.keep_alive_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="keep-alive", sep="\n"),
            # Streams end by themselves or with their engine; the library must not tear them first.
            shutdown_event=anyio.Event(),
            shutdown_grace_period=services.shutdown_seconds + _DRAIN_SECONDS,
        )
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._answer.aclose()

    async def _stream_response(self, send: Send) -> None:
        """Send the events, without the library's cancel scope around each, which has no timeout here."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        async with self._send_lock:
            self.active = False
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _events(answer: Answering, frame: Frame) -> AsyncGenerator[bytes, None]:
    """Framed events, one piece for those that are there together: each piece is a write to the socket.

    A failure becomes one error event, after which the stream ends without `[DONE]`.
    """
    try:
        async with contextlib.aclosing(answer.events()) as events:
            async for together in events:
                if together:
                    yield b"".join(map(frame, together))
    except CaravanError as error:
        request_metrics.current().fail(error.code)
        yield data_alone(to_json(envelope(error)))
    except Exception as error:
        log.exception("a stream failed")
        fault = failed_writing(error)
        request_metrics.current().fail(fault.code)
        yield data_alone(to_json(envelope(fault)))


async def _unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; when the connection closes first, cancels it and raises ClientLeftError."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_client_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeftError
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _client_left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
