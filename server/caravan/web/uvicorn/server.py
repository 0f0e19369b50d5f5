"""uvicorn's server, listening as this one does."""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from caravan.web.uvicorn.config import WebConfig
from caravan.web.uvicorn.h11_protocol import Connection
from caravan.web.uvicorn.listener import Listener


class WebServer(uvicorn.Server):
    """Serves on sockets that are handed to it. A TLS handshake may take `handshake_seconds`."""

    config: WebConfig

    def __init__(self, config: WebConfig, *, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and listen."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        listeners = [
            Listener(
                listening,
                self._connection,
                self.config.crowd.shed,
                tls=self.config.ssl,
                backlog=self.config.backlog,
                handshake_seconds=self._handshake_seconds,
            )
            for listening in sockets or []
        ]
        for listener in listeners:
            listener.start()
        # Of asyncio's servers, uvicorn uses the methods that listeners have.
        self.servers = cast(list[asyncio.base_events.Server], listeners)
        self.started = True

    def _connection(self) -> Connection:
        make = cast(Callable[..., Connection], self.config.http_protocol_class)
        state = self.lifespan.state
        return make(config=self.config, server_state=self.server_state, app_state=state)
