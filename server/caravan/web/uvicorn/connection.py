"""One client's connection: what is late, large or no HTTP in its requests ends it, and so does an answer that
nobody reads; others go on.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from caravan.config.settings import Settings
from caravan.errors import (
    CaravanError,
    HeadTooLargeError,
    InvalidRequestError,
    OverloadedError,
    RequestTimeoutError,
)
from caravan.web.envelopes import openais_envelope, with_security_headers
from caravan.web.uvicorn.connection_limit import ConnectionLimiter, State
from caravan.web.uvicorn.half_close import HalfCloseWatch
from caravan.web.uvicorn.parser import MAX_HEADERS, Parser, in_words

# How long a client that was answered early may go on sending. Closing at once would reset the connection, and
# with it what the client has not read yet.
_LINGER_SECONDS = 2.0
_RETRY_SECONDS = 1
# What the system keeps of an answer before it is sent. More would only hide for longer that nobody reads.
_UNSENT_BYTES = 65536
# What a client has to take of an answer that waits for it, each time that its patience runs out.
_LEAST_BYTES = 65536


class Connection(H11Protocol):
    """uvicorn's protocol, with limits. `count_error` is told the code of each refusal that no route made."""

    conn: Parser

    def __init__(
        self,
        settings: Settings,
        limiter: ConnectionLimiter,
        count_error: Callable[[str], object],
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = Parser(settings.max_header_bytes)
        self._settings = settings
        self._limiter = limiter
        self._count_error = count_error
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._give_up: Callable[[], object] | None = None
        self._last_words: HalfCloseWatch | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin (asyncio's protocol)."""
        super().connection_made(transport)
        is_admitted = self._give_up is not None or self._limiter.admit(self)
        self._give_up = None
        _tell_unread(transport)
        if is_admitted:
            self._await_head()
        else:
            self._refuse(OverloadedError("The server has too many connections.", retry_after=_RETRY_SECONDS))

    def begin_handshake(self, give_up: Callable[[], object]) -> bool:
        """Count before there is a connection, which `give_up` ends; False where there are too many."""
        self._give_up = give_up
        return self._limiter.admit(self)

    def end_handshake(self) -> None:
        """Count no longer, if no connection came of it."""
        if self._give_up is not None:
            self._limiter.forget(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End (asyncio's protocol)."""
        self._limiter.forget(self)
        timers = (self._head_timer, self._linger_timer, self._write_timer, self.timeout_keep_alive_task)
        for timer in timers:
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
        self._read_on()
        self._watch_head()
        self._note_turn()

    def pause_writing(self) -> None:
        """Wait until the client has read what it has been sent (asyncio's protocol)."""
        super().pause_writing()
        self._note_turn()
        self._await_reader()

    def resume_writing(self) -> None:
        """Go on (asyncio's protocol)."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        self._note_turn()

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
            self._last_words = HalfCloseWatch(self.transport, self.loop, ask=ask, gone=gone)
            return True
        return False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's words say less than the cause)
        """Refuse what is no request; uvicorn calls this while it handles the parser's error."""
        cause = sys.exception()
        assert isinstance(cause, h11.RemoteProtocolError)
        error: CaravanError
        if cause.error_status_hint == HeadTooLargeError.status:
            error = HeadTooLargeError(
                f"The head of the request has more than {self._settings.max_header_bytes} bytes "
                f"or {MAX_HEADERS} header fields."
            )
        else:
            error = InvalidRequestError(f"This is no HTTP request: {in_words(cause)}", code="invalid_http")
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
            self._answered = self.cycle
            self._linger()
        self._note_turn()

    def give_way(self) -> None:
        """Close at once, for a newcomer; a client that is still sending is told why, if it listens."""
        if self._give_up is not None:
            self._give_up()
            return
        if self.conn.their_state is h11.SEND_BODY and not self._is_refused:
            message = "The server needs the connections of slow clients for others."
            self._refuse(OverloadedError(message, retry_after=_RETRY_SECONDS))
        self.transport.abort()

    def _read_on(self) -> None:
        """Hear it when a client leaves that has sent more than the request which is being answered.

        uvicorn reads nothing then, and would answer to nobody. What came early waits, up to a head's size.
        """
        if self.flow.read_paused and self.conn.their_state is h11.DONE:
            ahead, _ = self.conn.trailing_data
            if len(ahead) <= self._settings.max_header_bytes:
                self.flow.resume_reading()

    def _ask(self) -> None:
        self.transport.write(self.conn.send_nothing() or b"")

    def _note_turn(self) -> None:
        """Tell the others whose turn it is on this connection."""
        if self._is_refused:
            state = State.LEAVING
        elif self.flow.write_paused:
            # Also where the connection is to be closed once the answer has been read.
            state = State.CLIENT
        elif self.transport.is_closing() or self._linger_timer is not None:
            state = State.LEAVING
        elif self.conn.their_state is h11.SEND_BODY:
            state = State.CLIENT
        elif self.conn.their_state is h11.IDLE:
            state = State.RESTING
        else:
            state = State.SERVER
        self._limiter.note(self, state)

    def _await_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self._settings.write_seconds, self._reader_is_late, left)

    def _reader_is_late(self, left: int) -> None:
        """End the connection, and with it the work for its answer, unless enough has been read meanwhile."""
        if self.transport.get_write_buffer_size() > left - _LEAST_BYTES:
            self._count_error("write_timeout")
            self.transport.abort()
        else:
            self._await_reader()

    def _watch_head(self) -> None:
        """After each piece of data: a head is waited for, or there is none to wait for any more."""
        is_idle = self.conn.their_state is h11.IDLE
        # What came may be the rest of a body that was not waited for, and a whole request behind it.
        if self._linger_timer is not None and (is_idle or self.cycle is not self._answered):
            self._linger_timer.cancel()
            self._linger_timer = None
        if is_idle:
            if self._head_timer is None:
                self._await_head()
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._settings.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        begun, _ = self.conn.trailing_data
        if begun:
            seconds = self._settings.head_seconds
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
        self._note_turn()

    def _answer(self, error: CaravanError) -> None:
        body = openais_envelope(error).model_dump_json().encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if error.retry_after is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after))
        headers = with_security_headers([*headers, (b"connection", b"close")])
        head = h11.Response(
            status_code=error.status, headers=headers, reason=HTTPStatus(error.status).phrase.encode()
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _linger(self) -> None:
        self._linger_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _tell_unread(transport: asyncio.Transport) -> None:
    """Have the transport say as soon as the client does not read as fast as it is written to."""
    transport.set_write_buffer_limits(high=1)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    opened = transport.get_extra_info("socket")
    if option is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        opened.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)
