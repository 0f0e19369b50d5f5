"""One client's connection: heads of requests that are late, large or no HTTP end it, and nobody else's."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from server.errors import (
    CaravanError,
    HeadTooLargeError,
    InvalidRequestError,
    OverloadedError,
    RequestTimeoutError,
)
from server.net.crowd import Crowd
from server.net.last_words import LastWords
from server.net.parser import MAX_HEADERS, Parser
from server.routes.envelope import envelope

# How long a client that was answered early may go on sending. Closing at once would reset the connection, and
# with it what the client has not read yet.
_LINGER_SECONDS = 2.0
_RETRY_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """What a client may take before its request has begun. Heads are counted in bytes, line ends included."""

    max_head_bytes: int
    head_seconds: float


class Connection(H11Protocol):
    """uvicorn's protocol, with limits. `count_error` is told the code of each refusal that no route made."""

    conn: Parser

    def __init__(
        self,
        limits: ConnectionLimits,
        crowd: Crowd,
        count_error: Callable[[str | None], object],
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Parser(limits.max_head_bytes)
        self._limits = limits
        self._crowd = crowd
        self._count_error = count_error
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._last_words: LastWords | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin (asyncio's protocol)."""
        super().connection_made(transport)
        if self._crowd.admit(self):
            self._await_head()
        else:
            self._refuse(OverloadedError("The server has too many connections.", retry_after=_RETRY_SECONDS))

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio's protocol)."""
        self._crowd.forget(self)
        for timer in (self._head_timer, self._linger_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        if self._last_words is not None:
            self._last_words.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came (asyncio's protocol)."""
        if self._is_refused:
            return
        super().data_received(data)
        self._watch_head()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has sent all it will have its answer, if it is owed one (asyncio's protocol)."""
        # TLS has no such end: asyncio closes the connection.
        if self._is_refused or self.transport.get_extra_info("sslcontext") is not None:
            return False
        is_answered = self.cycle is None or self.cycle.response_complete
        begun, _ = self.conn.trailing_data
        if begun if is_answered else self.conn.their_state is h11.SEND_BODY:
            self._refuse(InvalidRequestError("The request ended before it was whole.", code="invalid_http"))
        elif not is_answered:
            ask, gone = self._ask, self.transport.abort
            self._last_words = LastWords(self.transport, self.loop, ask=ask, gone=gone)
            return True
        return False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's words say less than the cause)
        """Refuse what is no request; uvicorn calls this while it handles the parser's error."""
        cause = sys.exception()
        assert isinstance(cause, h11.RemoteProtocolError)
        error: CaravanError
        if cause.error_status_hint == HeadTooLargeError.status:
            error = HeadTooLargeError(
                f"The head of the request has more than {self._limits.max_head_bytes} bytes "
                f"or {MAX_HEADERS} header fields."
            )
        else:
            error = InvalidRequestError(f"This is no HTTP request: {cause}", code="invalid_http")
            error.status = cause.error_status_hint
        self._refuse(error)

    def on_response_complete(self) -> None:
        """Go on to the next request; the rest of one that was answered early is waited for, but briefly."""
        super().on_response_complete()
        if self._last_words is not None and self.cycle.response_complete:
            # What was sent last has been answered, and no more can come.
            self.transport.close()
        elif self.conn.their_state is h11.SEND_BODY:
            self._unset_keepalive_if_required()
            self._linger()
        elif self.conn.their_state is h11.IDLE:
            self._crowd.rest(self)

    def give_way(self) -> None:
        """Close a connection without a request, for a newcomer."""
        self.transport.abort()

    def _ask(self) -> None:
        self.transport.write(self.conn.send_nothing() or b"")

    def _watch_head(self) -> None:
        """After each piece of data: a head is waited for, or there is none to wait for any more."""
        if self.conn.their_state is h11.IDLE:
            if self._linger_timer is not None:
                self._linger_timer.cancel()
                self._linger_timer = None
                self._crowd.rest(self)
            if self._head_timer is None:
                self._await_head()
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self._crowd.work(self)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        begun, _ = self.conn.trailing_data
        if begun:
            seconds = self._limits.head_seconds
            self._refuse(
                RequestTimeoutError(f"The head of the request did not arrive within {seconds:g} seconds.")
            )
        else:
            self.transport.close()

    def _refuse(self, error: CaravanError) -> None:
        """Answer, if no answer has begun, and end the connection."""
        self._is_refused = True
        self._count_error(error.code)
        if self.cycle is not None and not self.cycle.response_complete:
            # The route that reads the body learns that no more of it comes.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(error)
            self._linger()
        else:
            self.transport.close()

    def _answer(self, error: CaravanError) -> None:
        body = envelope(error).model_dump_json().encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if error.retry_after is not None:
            headers.append(("retry-after", str(error.retry_after)))
        head = h11.Response(
            status_code=error.status, headers=headers, reason=HTTPStatus(error.status).phrase.encode()
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _linger(self) -> None:
        self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)
