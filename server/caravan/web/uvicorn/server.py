"""uvicorn's server with a way of its own to listen, and within the limits of the settings."""

import asyncio
import errno
import functools
import logging
import math
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from caravan.config.settings import Settings
from caravan.web.uvicorn.connection import Connection
from caravan.web.uvicorn.connection_limit import ConnectionLimiter

log = logging.getLogger(__name__)

# Seconds for the errors that end what is left, once the grace of running requests is over.
_DRAIN_SECONDS = 10
# Each costs the loop a tenth of a millisecond; those who stream meanwhile are not to wait for thousands.
_ACCEPTED_AT_ONCE = 16
_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS = 0.1
_LOG_SECONDS = 60.0


class WebServer(uvicorn.Server):
    """Serves `app` on sockets that are handed to `serve`.

    `count_error` is told the codes of what no route refused. At most `max_connections` are open.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        settings: Settings,
        *,
        max_connections: int,
        count_error: Callable[[str], object],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(_config(app, settings, tls))
        self._limiter = ConnectionLimiter(max_connections)
        self._handshake_seconds = settings.head_seconds
        self._make_connection = functools.partial(Connection, settings, self._limiter, count_error)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen (uvicorn's protocol)."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        make = functools.partial(
            self._make_connection,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        listeners = [
            _Listener(opened, make, self._limiter.shed, self.config.ssl, self._handshake_seconds)
            for opened in sockets or []
        ]
        for listener in listeners:
            listener.start(self.config.backlog)
        # Of asyncio's servers, uvicorn uses the methods that listeners have.
        self.servers = cast(list[asyncio.base_events.Server], listeners)
        self.started = True


def _config(app: Callable[..., Any], settings: Settings, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # Fractions of seconds are fine.
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
        # Its routine, and its warnings, which strangers cause at will, are for those who look for a fault.
        log_config=None,
        log_level="debug" if settings.log_level == "debug" else "error",
        access_log=False,
        # Whom a proxy speaks for, `caravan.web.callers` reads, more strictly; nothing else asks.
        proxy_headers=False,
        http="h11",
        ws="none",
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds) + _DRAIN_SECONDS,
    )


class _Listener:
    """Accepts on one socket until it is closed; stands where uvicorn has asyncio's servers.

    Those accept thousands at once, and where a process has no files left they write a line for each try. Here
    `make_room` is asked to close a connection then, and says whether there was one. A TLS handshake may take
    `handshake_seconds`, and its connection counts meanwhile.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_connection: Callable[[], Connection],
        make_room: Callable[[], bool],
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        self._socket = listening
        self._make_connection = make_connection
        self._make_room = make_room
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._loop = asyncio.get_running_loop()
        # asyncio itself keeps no hold of tasks.
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._next_word = 0.0

    def start(self, backlog: int) -> None:
        """Accept from now on."""
        self._socket.setblocking(False)
        self._socket.listen(backlog)
        self._watch()

    def close(self) -> None:
        """Accept no more."""
        if self._pause is not None:
            self._pause.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for (asyncio's servers have this method)."""

    def _watch(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._wait(error)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._open(accepted))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _wait(self, error: OSError) -> None:
        """Leave newcomers where the system keeps them for a moment, and make room for them."""
        has_room = error.errno in _SHORTAGES and self._make_room()
        now = self._loop.time()
        if now >= self._next_word:
            self._next_word = now + _LOG_SECONDS
            what = "another connection makes room" if has_room else "newcomers wait"
            log.error("no connection can be accepted: %s; %s (told once a minute)", error.strerror, what)
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(_RETRY_SECONDS, self._watch)

    async def _open(self, accepted: socket.socket) -> None:
        connection = self._make_connection()
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._shake_hands(connection, accepted, self._tls)
        except (OSError, asyncio.CancelledError) as error:
            log.debug("a connection was not opened: %r", error)

    async def _shake_hands(
        self, connection: Connection, accepted: socket.socket, tls: ssl.SSLContext
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        if not connection.begin_handshake(task.cancel):
            accepted.close()
            return
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=tls, ssl_handshake_timeout=self._handshake_seconds
            )
        finally:
            connection.end_handshake()
